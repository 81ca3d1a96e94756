"""Schedules with the real processes: two gateways and a worker on one Redis."""

from pathlib import Path

from redis import Redis

from support.cli import Command, ask, eventually, final, write_endpoint
from support.redis.server import RedisServer

FREE = ("--port", "0", "--admin-port", "0")
META = "aep:{default/reports}:meta"
# Far ahead of the machine's clock, so that the store's time is the test's.
DUE_MS = 4_102_444_800_000

CODE = """\
from asyncendpoints import handler, JobContext

@handler("work")
def work(body: dict, job: JobContext) -> dict:
    return {"body": body, "schedule": job.schedule, "at": job.scheduled_at.isoformat()}
"""
SCHEDULES = """\
  schedules:
    - {name: minutely, cron: "* * * * *", job: work, body: {a: 1}, tags: [night]}
"""


def scheduled(url: str) -> list[dict[str, object]]:
    """Return the jobs that the schedule created, the oldest first."""
    items = ask(f"{url}/jobs?limit=100&tag=night").json["items"]
    return sorted(items, key=lambda job: str(job["createdAt"]))


def test_two_gateways_of_which_one_dies(tmp_path: Path, redis_server: RedisServer) -> None:
    file = write_endpoint(tmp_path, CODE, more=SCHEDULES)
    common = ("--endpoint", file, "--redis", redis_server.url)
    with (
        Redis.from_url(redis_server.url) as redis,
        Command("gateway", *common, *FREE) as first,
        Command("gateway", *common, *FREE) as second,
    ):
        first.ready_in_log()
        url = second.ready_in_log()
        # The store's time jumps, and stands still shortly before another time is due.
        redis.hset(META, "tick", str(DUE_MS - 200))
        eventually(lambda: len(scheduled(url)) == 1)
        first.kill()
        redis.hset(META, "tick", str(DUE_MS))
        eventually(lambda: len(scheduled(url)) == 2)
        jobs = scheduled(url)
        assert [job["schedule"] for job in jobs] == ["minutely"] * 2
        assert (first.err + second.err).count("schedule minutely created job") == 2
        with Command("worker", *common):
            ended = [final(f"{url}/jobs/{job['id']}") for job in jobs]
        assert [(job["state"], job["error"]) for job in ended] == [("Completed", None)] * 2
        got = [ask(f"{url}/jobs/{job['id']}/result").json for job in jobs]
        assert [one["at"] for one in got] == [
            "2099-12-31T23:59:00+00:00",
            "2100-01-01T00:00:00+00:00",
        ]
        assert got[0] == {"body": {"a": 1}, "schedule": "minutely", "at": got[0]["at"]}
