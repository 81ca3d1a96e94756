"""Figures over time in the operations API."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest

from asyncendpoints_core.jobs.job_view import timestamp
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.figures import FiguresWrite, Point, ScalingState, ScalingStep
from asyncendpoints_core.store.memory import MemoryStore
from support.http.console import Site, console

E = "/endpoints/demo/reports"
SERIES = (
    *("starts", "finishes", "failures", "waitP50Seconds", "waitP95Seconds"),
    *("demand", "wanted", "workers"),
)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with console({"reports": MemoryStore(), "mails": MemoryStore()}) as running:
        yield running


@pytest.fixture
def store(site: Site) -> Any:
    return site.stores["reports"]


def figures_at(at_ms: int, *starts: int | None) -> FiguresWrite:
    """Return points of the steps of 10 s until `at_ms`; None leaves a gap."""
    first = at_ms // 10_000 - len(starts)
    points = (
        Point(10_000 * (first + n), (n,) * 6, count, 5, 1, 40, None, 3, 2, 1)
        for n, count in enumerate(starts)
        if count is not None
    )
    step = ScalingStep(at_ms, 1, 2, 4, "ScaledUp", "1 → 2 (target 4): 9 queued")
    return FiguresWrite({10: tuple(points)}, (step,), ScalingState(at_ms, 4, "Steady", "kept at 4"))


async def test_rates_and_scaling_are_those_of_the_newest_figures(site: Site, store: Any) -> None:
    now = (await store.stats()).now_ms
    await store.record_figures(figures_at(now, 7, 20))
    [found, other] = (await site.read("/endpoints"))["items"]
    assert (found["startsPerSecond"], found["finishesPerSecond"]) == (2.0, 0.5)
    assert found["scaling"] == {"target": 4, "reason": "Steady", "message": "kept at 4"}
    assert (other["startsPerSecond"], other["scaling"]) == (None, None)


async def test_failures_of_the_last_hour_are_those_of_the_figures(site: Site, store: Any) -> None:
    """The newest 1,000 records would be all that is known without them."""
    now = (await store.stats()).now_ms
    await store.record_figures(figures_at(now, 7, 20))  # one failure in each step
    assert (await site.read(E))["failuresLastHour"] == 2


async def test_old_figures_are_not_the_present(site: Site, store: Any) -> None:
    now = (await store.stats()).now_ms
    await store.record_figures(figures_at(now - 310_000, 7, 20))
    found = await site.read(E)
    assert (found["startsPerSecond"], found["finishesPerSecond"]) == (None, None)
    assert found["scaling"] is None


async def test_figures_are_series_with_nulls_in_gaps(site: Site, store: Any) -> None:
    assert await site.read(f"{E}/figures") == {
        **{"step": 10, "since": None, "scalingSteps": []},
        "jobs": {state.value: [] for state in State},
        **{name: [] for name in SERIES},
    }
    now = (await store.stats()).now_ms
    await store.record_figures(figures_at(now, 1, None, None, 4))
    found = await site.read(f"{E}/figures")
    first = (now // 10_000 - 4) * 10_000
    assert found["since"] == timestamp(first)
    assert found["starts"] == [1, None, None, 4]
    assert found["jobs"]["Failed"] == [0, None, None, 3]
    assert {len(found[name]) for name in SERIES} == {4}
    assert (found["waitP50Seconds"][0], found["waitP95Seconds"][0]) == (0.04, None)
    assert (found["demand"][3], found["wanted"][3], found["workers"][3]) == (3, 2, 1)
    assert found["scalingSteps"] == [
        {
            **{"at": timestamp(now), "from": 1, "to": 2, "target": 4, "reason": "ScaledUp"},
            "message": "1 → 2 (target 4): 9 queued",
        }
    ]
    since = quote(timestamp(first + 1) or "")
    assert (await site.read(f"{E}/figures?since={since}"))["starts"] == [4]
    assert (await site.read(f"{E}/figures?step=600"))["starts"] == []


@pytest.mark.parametrize(
    "query", ["step=20", "step=", "since=yesterday", "since=2026-01-01T00:00:00", "until=1"]
)
async def test_a_wrong_query_is_refused(site: Site, query: str) -> None:
    answer = await site.ask("GET", f"/api/v1{E}/figures?{query}")
    assert (answer.status, answer.json["type"].rpartition(":")[2]) == (400, "invalid-query")
