"""Readings become points; what was not observed is not invented."""

from typing import Any

import msgspec
import pytest

from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.scaling.decide import Decision, Memory, Reason
from asyncendpoints_core.scaling.figures import FigureWriter
from asyncendpoints_core.store.figures import Figures, FiguresWrite, Point, ScalingStep
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.replies import TOTALS, Stats
from asyncendpoints_core.store.waits import bucket_of, quantile
from support.store.stores import SetTime

BEGIN = 1_200_000_000


def stats(at_ms: int, started: int = 0, *, queued: int = 0, **totals: int) -> Stats:
    counts = {State.QUEUED: queued, State.COMPLETED: totals.get("completed", 0)}
    return Stats(
        now_ms=BEGIN + at_ms,
        counts=dict.fromkeys(State, 0) | counts,
        by_name={},
        totals=dict.fromkeys(TOTALS, 0) | {"claimed": started, **totals},
        waits={bucket_of(100): started},
    )


def decision(replicas: int = 1, before: int = 1, text: str = "kept at 1", **more: Any) -> Decision:
    reason = more.pop("reason", Reason.STEADY)
    return Decision(replicas, replicas, reason, text, Memory(), before=before, workers=1, **more)


class Watched(MemoryStore):
    """A store that counts the writes, and fails on demand."""

    def __init__(self) -> None:
        self.clock = SetTime(BEGIN)
        super().__init__(self.clock)
        self.writes = 0
        self.fails = False

    async def record_figures(self, write: FiguresWrite) -> None:
        if self.fails:
            raise StoreUnavailable("not now")
        self.writes += 1
        await MemoryStore.record_figures(self, write)


class Scene:
    """A writer and its store, whose clock is that of the last reading."""

    def __init__(self) -> None:
        self.store = Watched()
        self.writer = FigureWriter(self.store)

    async def observe(self, found: Stats, made: Decision | None = None) -> None:
        self.store.clock.advance(found.now_ms - self.store.clock.now_ms())
        await self.writer.observe(found, made or decision())

    async def read(self, step_s: int = 10) -> Figures:
        return await self.store.read_figures(step_s)

    async def points(self, step_s: int = 10) -> dict[int, Point]:
        return {point.at_ms - BEGIN: point for point in (await self.read(step_s)).points}


async def test_a_point_has_what_happened_in_its_step_of_time() -> None:
    scene = Scene()
    for second in range(32):
        made = decision(demand=second, text="x")
        await scene.observe(stats(1_000 * second, second, completed=second // 2, failed=1), made)
    found = await scene.points()
    assert sorted(found) == [10_000, 20_000]  # the first was not seen from its beginning
    point = found[20_000]
    assert (point.starts, point.finishes, point.failures) == (10, 5, 0)
    assert point.jobs == (0, 0, 0, 14, 0, 0)
    assert (point.demand, point.wanted, point.workers) == (29, 1, 1)
    assert point.wait_p50_ms == pytest.approx(100, rel=0.3)
    assert point.wait_p95_ms == pytest.approx(100, rel=0.3)


async def test_the_first_step_counts_where_nothing_was_before() -> None:
    scene = Scene()
    for second in (3, 5, 12):
        await scene.observe(stats(1_000 * second, second - 3))
    assert {at: point.starts for at, point in (await scene.points()).items()} == {0: 2}


async def test_a_step_of_ten_minutes_sums_up_sixty() -> None:
    scene = Scene()
    for second in range(0, 1_810, 5):
        await scene.observe(stats(1_000 * second, 100 + second, completed=second))
    found = await scene.points(600)
    assert {at: point.starts for at, point in found.items()} == {600_000: 600, 1_200_000: 600}
    assert {point.finishes for point in found.values()} == {600}


async def test_an_outage_is_a_gap_and_its_jobs_are_in_no_point() -> None:
    scene = Scene()
    for second in (*range(25), *range(60, 85)):
        await scene.observe(stats(1_000 * second, second))
    found = await scene.points()
    assert {at: point.starts for at, point in found.items()} == {
        **{0: 9, 10_000: 10},
        **{70_000: 10},
    }


async def test_while_nothing_changes_few_readings_are_enough() -> None:
    scene = Scene()
    for second in (0, 40, 80, 125, 165):
        await scene.observe(stats(1_000 * second, 7, completed=7))
    found = await scene.points()
    assert sorted(found) == [10_000 * n for n in range(1, 16)]
    assert {(point.starts, point.jobs[3]) for point in found.values()} == {(0, 7)}
    assert {point.wait_p50_ms for point in found.values()} == {None}


async def test_a_change_after_a_long_silence_is_not_put_into_one_step() -> None:
    scene = Scene()
    for second, started in ((0, 7), (12, 7), (52, 20), (62, 20), (72, 20)):
        await scene.observe(stats(1_000 * second, started))
    assert 50_000 not in await scene.points()


async def test_a_store_that_lost_its_data_begins_anew() -> None:
    scene = Scene()
    for second in range(45):
        await scene.observe(stats(1_000 * second, second if second < 25 else 100 + second - 200))
    assert all(point.starts >= 0 for point in (await scene.points()).values())


async def test_a_quiet_endpoint_is_written_seldom_and_an_unused_one_never() -> None:
    scene = Scene()
    nothing = msgspec.structs.replace(decision(0, 0), workers=0)
    for second in range(0, 600, 10):
        await scene.observe(stats(1_000 * second), nothing)
    assert scene.store.writes == 0
    for second in range(600, 1_200, 10):
        await scene.observe(stats(1_000 * second, 1, completed=1))
    assert scene.store.writes <= 11
    for second in range(1_200, 1_260):
        await scene.observe(stats(1_000 * second, second, completed=second), decision(demand=5))
    assert scene.store.writes <= 18
    assert len(await scene.points()) >= 60


async def test_what_could_not_be_written_is_written_later() -> None:
    scene = Scene()
    scene.store.fails = True
    for second in range(35):
        if second > 30:
            scene.store.fails = False
            await scene.observe(stats(1_000 * second, second))
        else:
            with pytest.raises(StoreUnavailable):
                await scene.observe(stats(1_000 * second, second), decision(demand=second % 2))
    assert sorted(await scene.points()) == [0, 10_000, 20_000]


async def test_a_step_is_what_changed_with_the_reason_of_the_decision() -> None:
    scene = Scene()
    up = decision(4, 1, "1 → 4: 9 queued", reason=Reason.UP)
    await scene.observe(stats(0, 1), up)
    await scene.observe(stats(1_000, 1), up)  # not carried out yet
    assert (await scene.read()).steps == ()
    await scene.observe(stats(2_000, 1), decision(4, 4))
    await scene.observe(stats(3_000, 1), decision(3, 3))  # by somebody else
    [step] = (await scene.read()).steps
    assert step == ScalingStep(BEGIN + 1_000, 1, 4, 4, "ScaledUp", "1 → 4: 9 queued")
    scaling = (await scene.read()).scaling
    assert scaling is not None
    assert (scaling.target, scaling.reason) == (3, "Steady")


@pytest.mark.parametrize("wait_ms", [0, 1, 2, 7, 100, 1_500, 86_400_000])
def test_a_quantile_is_close_to_the_wait(wait_ms: int) -> None:
    found = quantile({bucket_of(wait_ms): 10}, 0.5)
    assert found == pytest.approx(wait_ms, rel=0.25, abs=1)


def test_quantiles_grow_with_their_share() -> None:
    counted = {bucket_of(ms): 1 for ms in (1, 10, 100, 1_000, 10_000)}
    found = [quantile(counted, share) for share in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert found == sorted(found, key=lambda ms: ms or 0)
    assert quantile({}, 0.5) is None
