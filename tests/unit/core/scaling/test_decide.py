"""The scaling decision, one rule at a time; whole runs are in test_scaling_simulation.py."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.scaling import decide as autoscale
from asyncendpoints_core.scaling.decide import Decision, Limits, Memory, Reason, decide, hold
from asyncendpoints_core.scaling.estimate import Estimate, observe
from asyncendpoints_core.scaling.signals import Signals, signals_of
from asyncendpoints_core.scaling.victims import Worker
from asyncendpoints_core.store.replies import Stats

NOW = 1_700_000_000_000
NOTHING = Memory()


def workers(*held: int, ready: bool = True, cordoned: bool = False) -> tuple[Worker, ...]:
    return tuple(Worker(f"w{i}", n, ready, cordoned) for i, n in enumerate(held))


def reading(at: int = NOW, **known: object) -> Signals:
    values: dict[str, object] = {
        "ready": 0,
        "running": 0,
        "held": known.get("running", 0),
        "due": 0,
        "claimed": 0,
        "ended": 0,
        "busy_ms": 0,
        "replicas": 0,
        "concurrency": 4,
    }
    return Signals(now_ms=at, **{**values, **known})  # type: ignore[arg-type]


def play(limits: Limits, seconds: int, memory: Memory = NOTHING, **known: object) -> Decision:
    """Give the same reading once a second, with the replicas that were decided before."""
    replicas = known.pop("replicas", 0)
    decision = hold(int(str(replicas)), memory, "nothing yet")
    begin = memory.at_ms or NOW
    for second in range(seconds):
        signals = reading(begin + 1_000 * second, replicas=decision.replicas, **known)
        decision = decide(signals, decision.memory, limits)
    return decision


def test_goes_up_at_once_by_what_waits_runs_and_falls_due() -> None:
    signals = reading(ready=9, running=4, due=2, replicas=1, workers=workers(4))
    decision = decide(signals, Memory(), Limits())
    assert (decision.demand, decision.want, decision.replicas) == (15, 4, 4)
    assert decision.reason is Reason.UP
    assert decision.text.startswith("1 → 4: 9 queued, 4 running, 2 due soon")


def test_from_zero_only_one_is_started_until_one_is_ready() -> None:
    decision = decide(reading(ready=100), Memory(), Limits())
    assert decision.replicas == 1
    again = decide(
        reading(NOW + 1_000, ready=100, replicas=1, workers=workers(0, ready=False)),
        decision.memory,
        Limits(),
    )
    assert (again.replicas, again.reason) == (1, Reason.NOT_READY)
    up = decide(
        reading(NOW + 2_000, ready=100, replicas=1, workers=workers(0)), again.memory, Limits()
    )
    assert up.replicas == 5


def test_ready_workers_of_an_old_template_do_not_count() -> None:
    old = (Worker("old", 4, current=False),)
    signals = reading(ready=50, running=4, replicas=1, workers=old, rollout=True)
    assert decide(signals, Memory(), Limits()).reason is Reason.NOT_READY


def test_a_step_adds_four_or_doubles() -> None:
    def step(replicas: int) -> int:
        signals = reading(ready=1_000, replicas=replicas, workers=workers(*[4] * replicas))
        return decide(signals, Memory(), Limits(max_replicas=100)).replicas

    assert [step(n) for n in (1, 3, 4, 10)] == [5, 7, 8, 20]


def test_never_above_the_maximum_and_says_so() -> None:
    signals = reading(ready=1_000, replicas=3, workers=workers(4, 4, 4))
    decision = decide(signals, Memory(), Limits(max_replicas=3))
    assert (decision.replicas, decision.reason) == (3, Reason.AT_MAX)
    assert "maxReplicas (3) is reached" in decision.text


def test_the_minimum_is_kept_without_work() -> None:
    decision = play(Limits(min_replicas=2, idle_ms=5_000), 60, workers=workers(0, 0))
    assert decision.replicas == 2


def test_once_service_time_is_known_short_jobs_need_fewer_workers() -> None:
    signals = reading(ready=100, running=4, replicas=1, workers=workers(4))
    first = decide(signals, Memory(), Limits())
    later = decide(
        reading(
            NOW + 1_000, ready=100, running=4, claimed=400, ended=396, busy_ms=4_000,
            replicas=1, workers=workers(4),
        ),
        first.memory,
        Limits(),
    )  # fmt: skip
    assert first.want == 26
    assert later.memory.estimate.service_s == pytest.approx(4_000 / 396 / 1_000)
    assert later.want == 1


def test_goes_down_by_the_largest_want_of_the_window() -> None:
    busy = decide(
        reading(ready=12, running=4, replicas=4, workers=workers(4, 0, 0, 0)), Memory(), Limits()
    )
    quiet = reading(NOW + 1_000, running=1, replicas=4, workers=workers(1, 0, 0, 0))
    soon = decide(quiet, busy.memory, Limits())
    assert (soon.replicas, soon.target, soon.reason) == (4, 4, Reason.COOLING)
    after = msgspec.structs.replace(quiet, now_ms=NOW + autoscale.WINDOW_MS)
    steady = msgspec.structs.replace(soon.memory, at_ms=NOW + autoscale.WINDOW_MS - 1_000)
    late = decide(after, steady, Limits())
    assert late.target == 1
    assert late.cordon == ("w1", "w2", "w3")


def test_only_cordoned_and_empty_workers_are_taken_away() -> None:
    limits = Limits(pinned=1)
    team = (Worker("a", 3), Worker("b", 1), Worker("c", 0), Worker("d", 2))
    first = decide(reading(running=6, replicas=4, workers=team), Memory(), limits)
    assert (first.replicas, first.target) == (4, 1)
    assert set(first.cordon) == {"b", "c", "d"}
    team = (Worker("a", 3), Worker("b", 1, cordoned=True), Worker("c", 0, cordoned=True),
            Worker("d", 2, cordoned=True))  # fmt: skip
    second = decide(reading(running=3, held=6, replicas=4, workers=team), first.memory, limits)
    assert second.replicas == 3
    rest = (Worker("a", 3), Worker("b", 0, cordoned=True), Worker("d", 0, cordoned=True))
    third = decide(reading(running=3, replicas=3, workers=rest), second.memory, limits)
    assert third.replicas == 1


def test_workers_that_are_not_there_or_not_ready_go_first() -> None:
    limits = Limits(pinned=2)
    team = (Worker("a", 4), Worker("b", 4), Worker("starting", ready=False))
    decision = decide(reading(running=8, replicas=5, workers=team), Memory(), limits)
    assert decision.replicas == 2
    assert decision.cordon == ("starting",)


def test_a_worker_that_is_not_ready_but_holds_jobs_is_waited_for() -> None:
    """A ReplicaSet would take it first, whatever the others' deletion cost."""
    team = (Worker("a", 1), Worker("sick", 2, ready=False, cordoned=True),
            Worker("empty", cordoned=True))  # fmt: skip
    signals = reading(running=1, held=3, replicas=3, workers=team)
    assert decide(signals, Memory(), Limits(pinned=1)).replicas == 3


def test_pods_that_are_about_to_go_are_not_counted_twice() -> None:
    team = (Worker("a", 1), Worker("b", 1), Worker("leaving", cordoned=True))
    signals = reading(running=2, replicas=2, workers=team)
    decision = decide(signals, Memory(), Limits(pinned=1))
    assert decision.replicas == 2
    assert "leaving" in decision.cordon


def test_more_work_takes_cordons_back() -> None:
    team = (Worker("a", 4), Worker("b", 1, cordoned=True))
    signals = reading(ready=8, running=4, held=5, replicas=2, workers=team)
    decision = decide(signals, Memory(), Limits())
    assert decision.uncordon == ("b",)
    assert decision.replicas == 3


def test_jobs_of_cordoned_workers_are_no_demand() -> None:
    team = (Worker("a", 1), Worker("b", 4, cordoned=True))
    signals = reading(running=1, held=5, replicas=2, workers=team)
    assert decide(signals, Memory(), Limits()).demand == 1


def test_no_scale_down_during_a_rollout_but_to_zero_when_all_are_empty() -> None:
    team = workers(0, 0, 0)
    held = decide(
        reading(running=1, replicas=3, workers=team, rollout=True), Memory(), Limits(pinned=1)
    )
    assert (held.replicas, held.reason) == (3, Reason.ROLLOUT)
    partly = (Worker("a", 1, cordoned=True), Worker("b", cordoned=True), Worker("c", cordoned=True))
    waiting = decide(
        reading(held=1, replicas=3, workers=partly, rollout=True), Memory(), Limits(pinned=0)
    )
    assert waiting.replicas == 3
    done = decide(
        reading(replicas=3, workers=workers(0, 0, 0, cordoned=True), rollout=True),
        Memory(),
        Limits(pinned=0),
    )
    assert done.replicas == 0


def test_zero_only_after_idle_seconds_and_with_nothing_held() -> None:
    limits = Limits(idle_ms=20_000)
    waiting = play(limits, 20, replicas=1, workers=workers(0))
    assert (waiting.replicas, waiting.reason) == (1, Reason.IDLE)
    at_end = reading(NOW + 20_000, replicas=1, workers=workers(0))
    gone = decide(at_end, waiting.memory, limits)
    assert (gone.target, gone.reason, gone.cordon) == (0, Reason.DRAINING, ("w0",))
    empty = decide(
        reading(NOW + 21_000, replicas=1, workers=workers(0, cordoned=True)), gone.memory, limits
    )
    assert (empty.replicas, empty.reason) == (0, Reason.ZERO)
    stays = decide(reading(NOW + 22_000), empty.memory, limits)
    assert (stays.replicas, stays.reason) == (0, Reason.STEADY)


def test_a_held_job_keeps_the_last_worker() -> None:
    limits = Limits(idle_ms=5_000)
    decision = play(limits, 60, replicas=1, held=1, workers=workers(1, cordoned=True))
    assert decision.replicas == 1


def test_a_lost_memory_begins_the_idle_time_anew() -> None:
    decision = decide(reading(replicas=1, workers=workers(0)), Memory(), Limits(idle_ms=10_000))
    assert decision.replicas == 1


def test_an_error_holds_and_an_outage_is_not_idle_time() -> None:
    limits = Limits(idle_ms=30_000)
    before = play(limits, 10, replicas=3, running=3, workers=workers(1, 1, 1))
    held = hold(3, before.memory, "Redis cannot be reached")
    assert (held.replicas, held.reason, held.memory) == (3, Reason.ERROR, before.memory)
    back = NOW + 3_600_000
    after = decide(reading(back, replicas=3, workers=workers(0, 0, 0)), held.memory, limits)
    assert after.replicas == 3
    assert after.reason is not Reason.ZERO


@pytest.mark.parametrize(
    ("limits", "reason"),
    [(Limits(suspend=True), Reason.SUSPENDED), (Limits(pinned=0), Reason.PINNED)],
)
def test_suspend_and_a_pin_at_zero_let_workers_finish(limits: Limits, reason: Reason) -> None:
    busy = reading(ready=50, running=2, replicas=1, workers=workers(2))
    decision = decide(busy, Memory(), limits)
    assert (decision.replicas, decision.target, decision.reason) == (1, 0, reason)
    assert decision.cordon == ("w0",)


def test_what_waits_in_a_paused_queue_is_no_demand() -> None:
    limits = Limits(idle_ms=30_000)
    paused = {"ready": 500, "due": 3, "paused": True}
    first = decide(reading(replicas=0, **paused), NOTHING, limits)
    assert (first.replicas, first.demand, first.reason) == (0, 0, Reason.PAUSED)
    assert (
        first.text
        == "kept at 0: paused: jobs are accepted but not run (500 queued, 0 running, 3 due soon)"
    )
    busy = decide(reading(replicas=2, workers=workers(4, 0), running=4, **paused), NOTHING, limits)
    assert (busy.demand, busy.want) == (4, 1)
    idle = play(limits, 40, replicas=2, workers=workers(0, 0), ready=500, due=3, paused=True)
    assert (idle.target, idle.want, idle.cordon) == (0, 0, ("w0", "w1"))
    resumed = decide(reading(NOW + 40_000, ready=500), idle.memory, limits)
    assert resumed.replicas > 0


def test_a_pin_goes_to_its_number_at_once_even_above_the_maximum() -> None:
    decision = decide(reading(), Memory(), Limits(pinned=30, max_replicas=20))
    assert (decision.replicas, decision.reason) == (30, Reason.PINNED)


def test_long_jobs_raise_the_service_time_before_one_has_ended() -> None:
    estimate = Estimate()
    claimed = 0
    for second in range(20):
        claimed += 10
        estimate = observe(estimate, NOW + 1_000 * second, 0, 1, (claimed, claimed - 1, claimed))
    short = estimate.service_s
    for second in range(20, 50):
        estimate = observe(
            estimate, NOW + 1_000 * second, 0, 8, (claimed + 7, claimed - 1, claimed)
        )
    assert short is not None
    assert short < 0.2
    assert estimate.service_s is not None
    assert estimate.service_s > 15
    for second in range(50, 250):
        estimate = observe(
            estimate, NOW + 1_000 * second, 0, 8, (claimed + 7, claimed - 1, claimed)
        )
    assert estimate.service_s is None


def test_a_store_that_began_anew_is_only_a_place_to_count_from() -> None:
    first = observe(Estimate(), NOW, 0, 0, (1_000, 1_000, 50_000))
    second = observe(first, NOW + 1_000, 0, 0, (1_010, 1_010, 50_500))
    anew = observe(second, NOW + 2_000, 0, 0, (3, 3, 10))
    assert second.service_s == pytest.approx(0.05)
    assert anew.service_s == second.service_s
    assert anew.arrivals_s == second.arrivals_s


def test_a_reading_is_made_from_the_stores_figures() -> None:
    stats = Stats(
        now_ms=NOW,
        counts={State.QUEUED: 9, State.IN_PROGRESS: 3},
        within_limits=5,  # limits hold the others back
        by_name={},
        totals={"claimed": 20, "busy_ms": 900},
        due_ms=(NOW + 100, NOW + 9_000),
        held=3,
        held_active=2,
    )
    signals = signals_of(stats, 2, (), concurrency=4, startup_ms=1_000)
    assert (signals.ready, signals.running, signals.held, signals.due) == (5, 2, 3, 1)
    assert (signals.claimed, signals.ended, signals.busy_ms) == (20, 17, 900)


def test_the_memory_survives_being_stored() -> None:
    decision = play(Limits(), 5, ready=3, running=2, replicas=1, workers=workers(2))
    stored = msgspec.json.encode(decision.memory)
    assert msgspec.json.decode(stored, type=Memory) == decision.memory


@given(
    ready=st.integers(0, 500),
    due=st.integers(0, 50),
    team=st.lists(
        st.builds(
            Worker,
            st.uuids().map(str),
            st.integers(0, 4),
            st.booleans(),
            st.booleans(),
            st.booleans(),
        ),
        max_size=12,
    ),
    extra=st.integers(-3, 3),
    rollout=st.booleans(),
    limits=st.builds(
        Limits,
        min_replicas=st.integers(0, 5),
        max_replicas=st.integers(5, 20),
        pinned=st.none() | st.integers(0, 10),
        suspend=st.booleans(),
    ),
)
def test_no_worker_with_jobs_is_removed_for_any_reading(
    ready: int, due: int, team: list[Worker], extra: int, rollout: bool, limits: Limits
) -> None:
    replicas = max(0, len(team) + extra)
    held = sum(worker.held for worker in team)
    running = sum(worker.held for worker in team if not worker.cordoned)
    signals = reading(
        ready=ready, due=due, running=running, held=held, replicas=replicas,
        workers=tuple(team), rollout=rollout,
    )  # fmt: skip
    decision = decide(signals, Memory(), limits)
    removed = replicas - decision.replicas
    gone = max(0, len(team) - decision.replicas) if removed > 0 else 0
    order = sorted(
        team, key=lambda w: (w.ready, not (w.cordoned and not w.held), not w.cordoned, w.held)
    )
    leaving = max(0, len(team) - replicas)
    assert all(not worker.held for worker in order[leaving:gone])
    assert not set(decision.cordon) & set(decision.uncordon)
    assert decision.replicas <= max(replicas, limits.max_replicas, limits.pinned or 0)


def test_a_proven_template_starts_from_zero_with_what_is_wanted() -> None:
    known = Memory(at_ms=NOW - 1_000, active_ms=NOW - 1_000, concurrency=4)
    burst = reading(ready=200, proven=True)
    decision = decide(burst, known, Limits(max_replicas=20))
    assert (decision.replicas, decision.reason) == (20, Reason.UP)
    unknown = decide(reading(ready=200), known, Limits(max_replicas=20))
    assert unknown.replicas == 1
    more = reading(ready=200, replicas=2, workers=workers(0, 0, ready=False), proven=True)
    assert decide(more, known, Limits(max_replicas=20)).replicas == 2 + autoscale.BURST
