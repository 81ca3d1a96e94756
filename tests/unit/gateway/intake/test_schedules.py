"""The loop that fires schedules, on a clock of the test's own."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest

from asyncendpoints_core.common.time_source import ManualClock
from asyncendpoints_core.jobs.cron import zone
from asyncendpoints_core.jobs.records import Job
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.replies import WorkerInfo
from asyncendpoints_gateway.intake.schedules import POLL_SECONDS, ScheduleLoop
from asyncendpoints_gateway.intake.store_policy import StorePolicy
from support.resources import MINIMAL, merge

BERLIN = "Europe/Berlin"
MINUTE, HOUR = 60_000, 3_600_000


def at(text: str, name: str = "Etc/UTC") -> int:
    """Return a local time as ms since the epoch."""
    return round(datetime.fromisoformat(text).replace(tzinfo=zone(name)).timestamp() * 1_000)


class Setting:
    """A memory store, and gateways that fire the schedules of an endpoint."""

    def __init__(self, now_ms: int) -> None:
        self.clock = ManualClock(now_ms)
        self.store = MemoryStore(self.clock)
        self.counted: Counter[tuple[str, str]] = Counter()
        self.tasks: list[asyncio.Task[None]] = []

    def endpoint(self, *schedules: dict[str, Any], **spec: Any) -> AsyncEndpoint:
        """Return an endpoint with schedules, each a nightly one but for what it says."""
        nightly = {"name": "nightly", "cron": "0 3 * * *", "job": "build-report"}
        made = {"schedules": [nightly | one for one in schedules], **spec}
        return AsyncEndpoint.parse(merge(MINIMAL, {"spec": made}))

    async def gateway(self, endpoint: AsyncEndpoint, *, owned: bool = True) -> asyncio.Task[None]:
        """Start a gateway, which has reached the store."""
        policy = StorePolicy(endpoint, self.store, self.clock, owned=owned)
        await self.store.configure(endpoint.spec.policy(), overwrite=owned)
        policy.connected.set()

        def count(schedule: str, outcome: str, times: int) -> None:
            self.counted[schedule, outcome] += times

        loop = ScheduleLoop(endpoint.spec.schedules, self.store, policy, count, self.clock)
        task = asyncio.create_task(loop.run())
        self.tasks.append(task)
        await settle()
        return task

    async def pass_time(self, ms: int, step: int = MINUTE) -> None:
        """Move the clock, with everybody running."""
        end = self.clock.now_ms() + ms
        while self.clock.now_ms() < end:
            self.clock.advance(min(step, end - self.clock.now_ms()))
            await settle()

    async def jobs(self) -> list[Job]:
        """Return all jobs, the oldest first."""
        page = await self.store.list(None, 500, None)
        return sorted(page.jobs, key=lambda job: job.attributes.scheduled_ms)

    async def times(self) -> list[int]:
        """Return for which times there are jobs."""
        return [job.attributes.scheduled_ms for job in await self.jobs()]


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(30):
        await asyncio.sleep(0)


@pytest.fixture
async def setting() -> AsyncIterator[Setting]:
    made = Setting(at("2026-06-01T12:00"))
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)


async def test_a_job_is_created_at_its_time(setting: Setting) -> None:
    await setting.gateway(
        setting.endpoint(
            {"body": {"year": 2026, "none": None}, "key": "acme", "tags": ["a", "b"]}
            | {"priority": "high"}
        )
    )
    await setting.pass_time(15 * HOUR - 1)
    assert await setting.jobs() == []
    await setting.pass_time(1)
    [job] = await setting.jobs()
    assert (job.name, job.created_ms, job.max_attempts) == (
        "build-report",
        at("2026-06-02T03:00"),
        4,
    )
    assert (job.attributes.key, job.attributes.tags) == ("acme", ("a", "b"))
    assert (job.attributes.schedule, job.attributes.scheduled_ms) == ("nightly", job.created_ms)
    assert job.priority.name == "HIGH"
    await setting.store.register(WorkerInfo("w", "p", "n", 1))
    [claimed] = (await setting.store.claim("w", 1, 1)).jobs
    assert claimed.request.content_type == "application/json"
    assert claimed.request.body == b'{"year": 2026, "none": null}'
    assert setting.counted == {("nightly", "created"): 1}


async def test_what_a_route_says_of_its_jobs_does_not_apply(setting: Setting) -> None:
    route: dict[str, Any] = {"path": "/reports/{customer}", "job": "build-report"}
    route |= {"key": "param:customer", "unique": {"of": ["path"], "onConflict": "Reject"}}
    await setting.gateway(setting.endpoint({"cron": "@hourly"}, routes=[route]))
    await setting.pass_time(2 * HOUR)
    assert [
        (job.state, job.attributes.key, job.attributes.lock) for job in await setting.jobs()
    ] == [(State.QUEUED, "", None)] * 2


async def test_two_gateways_create_one_job_a_time(setting: Setting) -> None:
    endpoint = setting.endpoint({"cron": "*/5 * * * *"}, {"name": "hourly", "cron": "@hourly"})
    for _ in range(2):
        await setting.gateway(endpoint)
    await setting.pass_time(2 * HOUR)
    times = Counter((job.attributes.schedule, job.created_ms) for job in await setting.jobs())
    assert len(times) == 26
    assert set(times.values()) == {1}
    assert setting.counted == {("nightly", "created"): 24, ("hourly", "created"): 2}


async def test_a_hundred_schedules_are_due_at_once(setting: Setting) -> None:
    endpoint = setting.endpoint(*({"name": f"s{number}"} for number in range(100)))
    for _ in range(2):
        await setting.gateway(endpoint)
    await setting.pass_time(15 * HOUR, HOUR)
    made = [job.attributes.schedule for job in await setting.jobs()]
    assert sorted(made) == sorted(f"s{number}" for number in range(100))


async def test_a_restart_at_the_very_second_loses_and_repeats_nothing(setting: Setting) -> None:
    endpoint = setting.endpoint({"cron": "* * * * *"})
    for _ in range(10):
        task = await setting.gateway(endpoint)
        await setting.pass_time(MINUTE)
        task.cancel()
        again = await setting.gateway(endpoint)  # in the same millisecond
        again.cancel()
        await settle()
    assert await setting.times() == [
        at("2026-06-01T12:00") + minute * MINUTE for minute in range(1, 11)
    ]


async def test_after_an_outage_the_latest_time_counts(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint = setting.endpoint(
        {"cron": "0 * * * *"},
        {"name": "strict", "cron": "0 * * * *", "startingDeadlineSeconds": 600},
        {"name": "lax", "cron": "0 * * * *", "startingDeadlineSeconds": 86_400},
    )
    (await setting.gateway(endpoint)).cancel()
    setting.clock.advance(5 * HOUR + 30 * MINUTE)
    with caplog.at_level(logging.WARNING):
        await setting.gateway(endpoint)
    made = {(job.attributes.schedule, job.attributes.scheduled_ms) for job in await setting.jobs()}
    latest = at("2026-06-01T17:00")
    assert made == {("nightly", latest), ("lax", latest)}
    assert setting.counted["nightly", "missed"] == 4
    assert setting.counted["strict", "missed"] == 5
    assert "schedule nightly: missed 4 times" in caplog.text
    shown = {state.name: state for state in (await setting.store.stats()).schedules}
    assert (shown["strict"].missed, shown["strict"].fired_ms) == (5, 0)
    await setting.pass_time(HOUR)
    assert setting.counted["strict", "created"] == 1


async def test_a_full_queue_is_tried_until_the_deadline(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint = setting.endpoint(
        {"cron": "0 * * * *", "startingDeadlineSeconds": 120}, queue={"maxDepth": 1}
    )
    await setting.gateway(endpoint)
    await setting.pass_time(HOUR)
    [first] = await setting.jobs()
    with caplog.at_level(logging.WARNING):
        await setting.pass_time(HOUR + MINUTE, 1_000)
    assert len(await setting.jobs()) == 1
    assert caplog.text.count("the queue is full") == 1
    await setting.store.cancel([first.id])
    await setting.pass_time(2_000, 500)
    assert len(await setting.jobs()) == 2
    await setting.pass_time(HOUR + 3 * MINUTE, 1_000)
    assert setting.counted == {("nightly", "created"): 2, ("nightly", "missed"): 1}


@pytest.mark.parametrize("change", ["removed", "suspended", "another time"])
async def test_a_schedule_changed_while_due_fires_by_its_new_definition(
    setting: Setting, change: str
) -> None:
    old = setting.endpoint({"cron": "0 * * * *"})
    new = {
        "removed": setting.endpoint(),
        "suspended": setting.endpoint({"cron": "0 * * * *", "suspend": True}),
        "another time": setting.endpoint({"cron": "30 * * * *"}),
    }[change]
    await setting.gateway(old)
    setting.clock.advance(HOUR)  # due, but no task has run yet
    await setting.store.configure(new.spec.policy())
    await settle()
    await setting.gateway(new, owned=False)
    assert await setting.jobs() == []
    await setting.pass_time(2 * HOUR)
    wanted = [at("2026-06-01T13:30"), at("2026-06-01T14:30")] if change == "another time" else []
    assert await setting.times() == wanted
    # Back again: what fell due meanwhile is not made up for.
    await setting.store.configure(old.spec.policy())
    await setting.pass_time(HOUR)
    assert (await setting.times())[len(wanted) :] == [at("2026-06-01T16:00")]


async def test_forbid_and_replace(setting: Setting) -> None:
    await setting.gateway(
        setting.endpoint(
            {"name": "forbid", "cron": "0 * * * *", "concurrencyPolicy": "Forbid"},
            {"name": "replace", "cron": "0 * * * *", "concurrencyPolicy": "Replace"},
        )
    )
    await setting.pass_time(3 * HOUR)
    states = Counter((job.attributes.schedule, job.state) for job in await setting.jobs())
    assert states == {
        ("forbid", State.QUEUED): 1,
        ("replace", State.QUEUED): 1,
        ("replace", State.CANCELED): 2,
    }
    assert setting.counted["forbid", "skipped"] == 2


async def test_when_the_clocks_change(setting: Setting) -> None:
    setting.clock.advance(at("2026-10-24T12:00") - setting.clock.now_ms())
    await setting.gateway(
        setting.endpoint(
            {"name": "fixed", "cron": "30 2 * * *", "timeZone": BERLIN},
            {"name": "wild", "cron": "30 * * * *", "timeZone": BERLIN},
        )
    )
    await setting.pass_time(24 * HOUR)
    made = [(job.attributes.schedule, job.attributes.scheduled_ms) for job in await setting.jobs()]
    assert [ms for name, ms in made if name == "fixed"] == [at("2026-10-25T00:30")]
    assert len([ms for name, ms in made if name == "wild"]) == 24


async def test_a_clock_that_steps_is_followed(setting: Setting) -> None:
    await setting.gateway(setting.endpoint({"cron": "0 3 * * *"}))
    # The store's time steps forward behind the gateway's back: a laptop that slept.
    setting.clock._now_ms += 16 * HOUR
    await setting.pass_time(round(POLL_SECONDS * 1_000), 1_000)
    assert await setting.times() == [at("2026-06-02T03:00")]
