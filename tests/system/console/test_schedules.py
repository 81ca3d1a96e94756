"""Schedules over the operations API: what is shown, and a job that a person requests."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from asyncendpoints_console.access import Role
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.schedules import FireStatus
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.resource.firings import PreparedSchedule
from asyncendpoints_core.store.memory import MemoryStore
from support.http.console import Site, console, endpoint
from support.store.stores import START_MS, SetTime

E = "/endpoints/demo/reports"
API = f"/api/v1{E}"
SCHEDULES: list[dict[str, Any]] = [
    {
        **{"name": "nightly", "cron": "0 3 * * *", "timeZone": "Europe/Berlin"},
        **{"job": "build-report", "body": {"year": 2026}, "tags": ["night"], "key": "acme"},
    },
    {
        **{"name": "cleanup", "cron": "@hourly", "job": "latest", "concurrencyPolicy": "Forbid"},
        **{"startingDeadlineSeconds": 300, "suspend": True},
    },
]
HOUR = 3_600_000


@pytest.fixture
def time() -> SetTime:
    return SetTime(START_MS)


@pytest.fixture
async def site(time: SetTime) -> AsyncIterator[Site]:
    store = MemoryStore(time)
    await store.configure(endpoint("reports", schedules=SCHEDULES).spec.policy())
    async with console({"reports": store}, time=time, schedules=SCHEDULES) as running:
        yield running


@pytest.fixture
def store(site: Site) -> Any:
    return site.stores["reports"]


async def listed(site: Site) -> dict[str, Any]:
    return {item["name"]: item for item in (await site.read(f"{E}/schedules"))["items"]}


async def test_schedules_show_their_times(site: Site, store: Any, time: SetTime) -> None:
    found = await listed(site)
    assert list(found) == ["cleanup", "nightly"]
    nightly = found["nightly"]
    assert (nightly["job"], nightly["cron"], nightly["timeZone"]) == (
        *("build-report", "0 3 * * *", "Europe/Berlin"),
    )
    assert (nightly["tags"], nightly["key"], nightly["suspended"]) == (["night"], "acme", False)
    assert (nightly["lastTime"], nightly["missed"], nightly["missedAt"]) == (None, 0, None)
    assert nightly["nextTime"].endswith("T02:00:00.000Z")
    cleanup = found["cleanup"]
    assert (cleanup["suspended"], cleanup["nextTime"]) == (True, None)
    assert (cleanup["concurrencyPolicy"], cleanup["startingDeadlineSeconds"]) == ("Forbid", 300)
    prepared = PreparedSchedule.of(endpoint("reports", schedules=SCHEDULES).spec.schedules[0])
    time.advance(30 * HOUR)
    due = prepared.schedule.times.latest(START_MS, time.now_ms())
    fired = await store.fire(prepared.firing(due, START_MS, 4, time.now_ms()))
    assert fired.status is FireStatus.CREATED
    nightly = (await listed(site))["nightly"]
    assert nightly["lastTime"].endswith("T02:00:00.000Z")
    assert nightly["lastTime"] < nightly["nextTime"]


async def test_a_schedule_is_run_now(site: Site, store: Any) -> None:
    answer = await site.ask("POST", f"{API}/schedules/nightly/run")
    assert (answer.status, answer.json["schedule"], answer.json["state"]) == (
        *(202, "nightly", "Queued"),
    )
    assert answer.headers["Location"] == f"{API}/jobs/{answer.json['id']}"
    assert (answer.json["tags"], answer.json["key"]) == (["night"], "acme")
    job_id = ids.parse(answer.json["id"])
    assert job_id is not None
    [made] = await store.inspect([job_id], bodies=True)
    assert (made.request.body, made.request.content_type) == (
        *(b'{"year": 2026}', "application/json"),
    )
    assert (await listed(site))["nightly"]["lastTime"] is None
    [record] = (await site.read(f"{E}/audit"))["items"]
    assert (record["action"], record["schedule"], record["created"]) == (
        *("run", "nightly", answer.json["id"]),
    )


async def test_a_suspended_schedule_runs_when_requested_but_forbid_holds(
    site: Site, store: Any
) -> None:
    path = f"{API}/schedules/cleanup/run"
    assert (await site.ask("POST", path)).status == 202
    busy = await site.ask("POST", path)
    assert (busy.status, busy.json["type"]) == (409, "urn:asyncendpoints:problem:schedule-busy")
    assert (await store.stats()).counts[State.QUEUED] == 1


async def test_a_run_that_is_refused(site: Site, store: Any) -> None:
    assert (await site.ask("POST", f"{API}/schedules/other/run")).status == 404
    path = f"{API}/schedules/nightly/run"
    assert (await site.ask("POST", path, role=Role.VIEW)).status == 403
    changed = endpoint("reports", schedules=[SCHEDULES[0] | {"cron": "@daily"}]).spec
    await store.configure(changed.policy())
    not_yet = await site.ask("POST", path)
    assert (not_yet.status, not_yet.headers["Retry-After"]) == (503, "2")
    full = endpoint("reports", schedules=SCHEDULES, queue={"maxDepth": 1}).spec
    await store.configure(full.policy())
    assert (await site.ask("POST", path)).status == 202
    assert (await site.ask("POST", path)).status == 429
    await store.close_queue()
    assert (await site.ask("POST", path)).status == 503
    assert (await site.read(f"{E}/audit"))["items"][1:] == []


async def test_a_schedules_job_is_paused_before_there_was_any(time: SetTime) -> None:
    schedules = [{**SCHEDULES[0], "job": "tidy"}]
    async with console({"reports": MemoryStore(time)}, time=time, schedules=schedules) as running:
        paused = await running.ask("POST", f"{API}/pause", '{"job": "tidy"}')
        assert (paused.status, paused.json["paused"]) == (200, ["tidy"])
