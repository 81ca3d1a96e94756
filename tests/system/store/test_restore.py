"""docs/operations.md, "Backups": the effect of an older state of Redis on jobs and workers."""

import os
import shutil
from pathlib import Path

from redis import Redis

from support.cli import Answer, Command, ask, eventually, final, write_endpoint
from support.ports import free_port
from support.redis.server import RedisServer

# Waits for a line from a pipe when the body names one.
CODE = """\
from asyncendpoints import handler

@handler("work")
def work(body: str | None) -> str:
    if body:
        with open(body) as pipe:
            pipe.read()
    return "done"
"""
TEXT = {"Content_Type": "text/plain"}


def there_again(url: str) -> bool:
    """Return whether the gateway has reached its store."""
    return ask(f"{url}/jobs").status == 200


def counts_one_gone(admin: int) -> bool:
    """Return whether the worker has noticed that a job of its no longer exists."""
    text = ask(f"http://127.0.0.1:{admin}/metrics").body.decode()
    return "asyncendpoints_worker_settle_gone_total 1.0\n" in text


def test_a_restored_backup_is_a_state_of_the_past(tmp_path: Path) -> None:
    file, admin = write_endpoint(tmp_path, CODE), free_port()
    pipe, backup = tmp_path / "pipe", tmp_path / "backup.rdb"
    os.mkfifo(pipe)
    with RedisServer() as server:
        common = ("--endpoint", file, "--redis", server.url)
        ports = ("--port", "0", "--admin-port", "0")
        with (
            Command("gateway", *common, *ports) as gateway,
            Command("worker", *common, "--admin-port", str(admin)) as worker,
        ):
            url = gateway.ready_in_log()

            def submit(key: str, body: str = "") -> Answer:
                return ask(f"{url}/work", "POST", body, Idempotency_Key=key, **TEXT)

            before = final(url + submit("before").headers["Location"])
            waiting = ask(f"{url}/work", "POST", "", Job_Delay="1", **TEXT).headers["Location"]
            with Redis(port=server.port) as owner:
                owner.save()
            shutil.copy(server.directory / "dump.rdb", backup)
            assert final(url + waiting)["state"] == "Completed"
            late = submit("late").headers["Location"]
            running = submit("running", str(pipe)).headers["Location"]
            eventually(lambda: ask(url + running).json["state"] == "InProgress")

            server.kill()
            shutil.copy(backup, server.directory / "dump.rdb")
            server.start()
            eventually(lambda: there_again(url))
            assert ask(url + late).status == ask(url + running).status == 404
            pipe.write_text("go on\n")
            eventually(lambda: counts_one_gone(admin))  # rejected, and without further effect
            assert ask(url + running).status == 404
            assert final(url + waiting)["attempt"] == 1  # again
            assert submit("before").headers["Location"] == f"/jobs/{before['id']}"
            assert submit("late").headers["Location"] != late
            assert worker.stop() == 0
            assert gateway.stop() == 0
