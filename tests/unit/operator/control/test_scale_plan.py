"""Scale-down: whom to cordon, what costs to write, how far to go; and that nobody busy is taken."""

import random
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints_core.scaling.decide import Decision, Limits, Memory, Reason, decide
from asyncendpoints_core.scaling.signals import Signals
from asyncendpoints_core.scaling.victims import VICTIM_COST
from asyncendpoints_core.store.replies import WorkerInfo, WorkerState
from asyncendpoints_operator.control.scale_plan import (
    Load,
    certain_victims,
    cordon_owner,
    loads,
    plan,
    slots_of,
    workers_for,
)
from asyncendpoints_operator.kube.pod_state import Pod

NOW = 1_800_000_000_000
LONG = NOW + 25_000


def pod(name: str, **more: Any) -> Pod:
    values = {
        "uid": f"uid-{name}",
        "phase": "Running",
        "ready": True,
        "deleting": False,
        "scheduled": True,
        "template": "now",
        "cost": 0,
        "created": 0.0,
    }
    return Pod(name=name, **{**values, **more})


def child(name: str, held: int = 0, until: int = 0, number: int = 1, **more: Any) -> WorkerState:
    info = WorkerInfo(f"{name}.{number}", f"uid-{name}", "nonce", more.pop("slots", 4))
    return WorkerState(info, NOW + 15_000, held, until, **more)


def decided(replicas: int, cordon: Iterable[str] = (), uncordon: Iterable[str] = ()) -> Decision:
    return Decision(replicas, replicas, Reason.DOWN, "", Memory(), tuple(cordon), tuple(uncordon))


def test_pods_and_their_children_are_put_together() -> None:
    pods = [pod("a"), pod("b"), pod("c", deleting=True), pod("d", phase="Failed")]
    workers = [child("a", 2, LONG), child("a", 1, LONG, 2), child("c", 5), child("z", 1)]
    first, second = loads(pods, workers, NOW)
    assert (first.held, first.cordoned, first.slots) == (3, True, 8)
    assert first.workers == ("a.1", "a.2")
    assert (second.held, second.cordoned, second.workers) == (0, False, ())


@pytest.mark.parametrize(
    ("children", "cordoned"),
    [
        ([child("a", until=LONG)], True),
        ([child("a", until=NOW + 4_000)], False),  # ends too soon to rely on
        ([child("a", until=LONG), child("a", number=2)], False),  # one of them still claims
        ([child("a", draining=True)], True),
        ([], False),
    ],
)
def test_a_pod_is_cordoned_when_all_its_children_are(
    children: list[WorkerState], cordoned: bool
) -> None:
    assert loads([pod("a")], children, NOW)[0].cordoned is cordoned


def test_the_autoscaler_counts_a_pod_as_ready_once_its_workers_are_registered() -> None:
    pods = [pod("a"), pod("b"), pod("c", ready=False), pod("d", template="old")]
    found = loads(pods, [child("a", 1), child("c"), child("d")], NOW)
    a, b, c, d = workers_for(found, "now")
    assert (a.ready, a.held, a.current) == (True, 1, True)
    assert b.ready is False
    assert c.ready is False
    assert d.current is False


def test_slots_are_what_most_of_the_current_template_registered() -> None:
    pods = [pod("a"), pod("b"), pod("c"), pod("old", template="old")]
    workers = [child("a"), child("a", number=2), child("b"), child("old", slots=99)]
    assert slots_of(loads(pods, workers, NOW), "now") == 8  # b has one child of two so far
    assert slots_of(loads(pods, [child("old", slots=99)], NOW), "now") == 99
    assert slots_of([], "now") == 0


def test_victims_are_cordoned_before_anything_is_lowered() -> None:
    found = loads([pod("a"), pod("b")], [child("a", 1), child("a", 0, 0, 2), child("b", 3)], NOW)
    step = plan(decided(1, cordon=["a"]), found, 2)
    assert step.cordon == ("a.1", "a.2")
    assert step.replicas == 2
    assert step.costs == {}


def test_an_acknowledged_victim_gets_a_cost_and_only_then_goes() -> None:
    workers = [child("a", 0, LONG), child("b", 3)]
    step = plan(decided(1, cordon=["a"]), loads([pod("a"), pod("b")], workers, NOW), 2)
    assert (step.replicas, step.costs) == (2, {"a": VICTIM_COST})
    marked = loads([pod("a", cost=VICTIM_COST), pod("b")], workers, NOW)
    step = plan(decided(1, cordon=["a"]), marked, 2)
    assert (step.replicas, step.costs) == (1, {})
    assert step.cordon == ("a.1",)  # renewed


def test_a_spared_worker_is_uncordoned_and_loses_its_deletion_cost() -> None:
    found = loads([pod("a", cost=VICTIM_COST), pod("b")], [child("a", 0, LONG), child("b")], NOW)
    step = plan(decided(2, uncordon=["a"]), found, 2)
    assert step.uncordon == ("a.1",)
    assert step.costs == {"a": None}
    assert step.replicas == 2


def test_a_marked_victim_that_holds_jobs_again_loses_the_mark_and_stays() -> None:
    found = loads([pod("a", cost=VICTIM_COST), pod("b")], [child("a", 2, LONG), child("b", 5)], NOW)
    step = plan(decided(1, cordon=["a"]), found, 2)
    assert (step.replicas, step.costs) == (2, {"a": None})


def test_pods_that_are_not_there_yet_go_first_and_at_once() -> None:
    pods = [
        pod("busy"),
        pod("pending", phase="Pending", ready=False, scheduled=False),
        pod("starting", ready=False),
    ]
    found = loads(pods, [child("busy", 4)], NOW)
    assert certain_victims(found) == 2
    assert plan(decided(1, cordon=["pending", "starting"]), found, 3).replicas == 1
    # Wanted but not even created: lowering takes nobody.
    assert plan(decided(1), loads([pod("busy")], [child("busy", 4)], NOW), 3).replicas == 1


def test_a_not_ready_pod_with_jobs_blocks_the_way() -> None:
    pods = [pod("a", ready=False), pod("b", cost=VICTIM_COST)]
    found = loads(pods, [child("a", 2), child("b", 0, LONG)], NOW)
    # A ReplicaSet takes a not ready pod first, whatever another one costs.
    assert certain_victims(found) == 0
    step = plan(decided(1, cordon=["b"], uncordon=["a"]), found, 2)
    assert step.replicas == 2
    assert step.cordon == ("b.1", "a.1")  # so it, too, must finish first
    assert step.uncordon == ()


def test_those_that_a_replica_set_has_still_to_take_are_not_counted_twice() -> None:
    workers = [child("a", 0, LONG), child("b", 0, LONG), child("c", 4)]
    pods = [pod("a", cost=VICTIM_COST), pod("b", cost=VICTIM_COST), pod("c")]
    found = loads(pods, workers, NOW)
    assert plan(decided(1, cordon=["a", "b"]), found, 3).replicas == 1
    assert plan(decided(0, cordon=["a", "b", "c"]), found, 2).replicas == 1


def test_everybody_goes_when_everybody_is_free() -> None:
    found = loads([pod("a"), pod("b")], [child("a", 0, LONG), child("b", 0, LONG)], NOW)
    assert plan(decided(0, cordon=["a", "b"]), found, 2).replicas == 0


def test_up_is_at_once() -> None:
    assert plan(decided(7), loads([pod("a")], [child("a", 4)], NOW), 1).replicas == 7


def test_each_leader_cordons_in_its_own_name() -> None:
    assert cordon_owner(3) != cordon_owner(4)


# What a ReplicaSet does (ActivePodsWithRanks), with a coin where pods are equal to it.
def replica_set_takes(pods: list[Pod], count: int, coin: random.Random) -> list[Pod]:
    phases = {"Pending": 0, "Unknown": 1}
    order = sorted(
        pods,
        key=lambda p: (p.scheduled, phases.get(p.phase, 2), p.ready, p.cost, coin.random()),
    )
    return order[:count]


@st.composite
def clusters(draw: st.DrawFn) -> tuple[list[Pod], list[WorkerState]]:
    pods, workers = [], []
    for number in range(draw(st.integers(1, 8))):
        name = f"p{number}"
        phase = draw(st.sampled_from(["Running", "Running", "Running", "Pending"]))
        ready = phase == "Running" and draw(st.booleans())
        pods.append(
            pod(
                name,
                phase=phase,
                ready=ready,
                scheduled=phase == "Running" or draw(st.booleans()),
                deleting=draw(st.integers(0, 9)) == 0,
                cost=draw(st.sampled_from([0, 0, VICTIM_COST])),
                template=draw(st.sampled_from(["now", "now", "now", "old"])),
            )
        )
        for one in range(draw(st.integers(0, 2)) if phase == "Running" else 0):
            held = draw(st.integers(0, 3))
            until = draw(st.sampled_from([0, NOW + 1_000, LONG]))
            workers.append(child(name, held, until, one))
    return pods, workers


@given(clusters(), st.integers(0, 10), st.integers(0, 8), st.integers(0, 20), st.randoms())
def test_every_pod_the_replica_set_may_take_is_empty(
    cluster: tuple[list[Pod], list[WorkerState]],
    wanted: int,
    pinned: int,
    waiting: int,
    coin: random.Random,
) -> None:
    """The whole step, from the decision to the ReplicaSet's choice, on any cluster."""
    pods, workers = cluster
    found = loads(pods, workers, NOW)
    held = sum(load.held for load in found)
    signals = Signals(
        NOW, waiting, held, held, 0, 0, 0, 0, wanted, workers_for(found, "now"), 4, rollout=False
    )
    step = plan(decide(signals, Memory(), Limits(pinned=pinned)), found, wanted)
    live = [load.pod for load in found]
    already = max(0, len(live) - wanted)  # an earlier step's, on their way out
    taken = replica_set_takes(live, max(0, len(live) - step.replicas), coin)[already:]
    free = {load.pod.name for load in found if load.free}
    if step.replicas < wanted:
        assert {one.name for one in taken} <= free
    assert step.replicas >= min(wanted, pinned)
    assert set(step.cordon).isdisjoint(step.uncordon)


@given(clusters(), st.integers(0, 8))
def test_steps_lead_to_the_target(
    cluster: tuple[list[Pod], list[WorkerState]], target: int
) -> None:
    """Once jobs are done, a few steps bring any cluster to its target, marks all taken away."""
    pods, _ = cluster
    pods = [one for one in pods if not one.deleting]
    until: dict[str, int] = {}
    coin = random.Random(0)
    wanted = len(pods)
    for _ in range(12):
        workers = [
            child(one.name, 0, until.get(f"{one.name}.1", 0))
            for one in pods
            if one.phase == "Running"
        ]
        found = loads(pods, workers, NOW)
        signals = Signals(
            NOW, 0, 0, 0, 0, 0, 0, 0, wanted, workers_for(found, "now"), 4, rollout=False
        )
        step = plan(decide(signals, Memory(), Limits(pinned=target)), found, wanted)
        until |= dict.fromkeys(step.cordon, LONG) | dict.fromkeys(step.uncordon, 0)
        pods = [costed(one, step.costs.get(one.name, one.cost)) for one in pods]
        gone = replica_set_takes(pods, max(0, len(pods) - step.replicas), coin)
        pods = [one for one in pods if one not in gone]
        wanted = step.replicas
    assert wanted == target
    assert len(pods) == min(target, len(pods))
    assert not [one for one in pods if one.cost == VICTIM_COST]


def costed(one: Pod, cost: int | None) -> Pod:
    return pod(
        one.name,
        phase=one.phase,
        ready=one.ready,
        scheduled=one.scheduled,
        template=one.template,
        cost=cost or 0,
    )


def test_a_load_without_workers_is_free() -> None:
    assert Load(pod("a"), (), 0, cordoned=False, slots=0).free
