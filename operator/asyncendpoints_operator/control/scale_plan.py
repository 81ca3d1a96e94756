"""Scale-down that ends no busy worker: from pods and the store's workers to the next step. Pure.

`autoscale.decide` says how many workers there should be and which may go; here that becomes writes:
whom to cordon, which pods get a deletion cost, and how far the Deployment may be lowered now. It is
lowered only by as many as a ReplicaSet would certainly take from among the pods that hold nothing
(docs/rules.md K4 to K7); what it takes in fact is looked at in the next step.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from asyncendpoints_core.scaling.decide import Decision, Worker
from asyncendpoints_core.scaling.victims import VICTIM_COST, Rank, count_certain, deletion_rank
from asyncendpoints_core.store.protocol import WorkerState
from asyncendpoints_operator.kube.pod_state import Pod

CORDON_SECONDS: Final = 30.0
"""How long a mark holds that is not renewed: what a dead leader leaves behind."""
CORDON_MARGIN_MS: Final = 5_000
"""A mark that ends sooner than this is not relied on for a step."""


@dataclass(frozen=True, slots=True)
class Load:
    """A pod that is not ending, and what the store knows of it.

    `workers`: the ids of its registered children. `cordoned`: all of them claim nothing, for long
    enough to rely on. `slots`: jobs it can run at a time.
    """

    pod: Pod
    workers: tuple[str, ...]
    held: int
    cordoned: bool
    slots: int

    @property
    def free(self) -> bool:
        """Whether it holds no job and cannot claim one (docs/rules.md K4: cordon acknowledged).

        A pod without a registered worker has not begun; should it begin now, it drains at once.
        """
        return self.held == 0 and (self.cordoned or not self.workers)


@dataclass(frozen=True, slots=True)
class Step:
    """What to write now, in this order.

    `cordon` and `uncordon` are ids of the store's workers. `costs` are pods' deletion costs to
    write (None: take the annotation away). `replicas` is for the Deployment; when it is lower than
    before, the write must carry the resourceVersion that was read.
    """

    cordon: tuple[str, ...]
    uncordon: tuple[str, ...]
    costs: Mapping[str, int | None]
    replicas: int


def cordon_owner(epoch: int) -> str:
    """Return the name under which the leader of an epoch (its Lease's transitions) cordons."""
    return f"operator/{epoch}"


def loads(pods: Iterable[Pod], workers: Iterable[WorkerState], now_ms: int) -> list[Load]:
    """Put pods and workers together. Pods that are ending are left out, with what they hold."""
    by_pod: dict[str, list[WorkerState]] = {}
    for worker in workers:
        by_pod.setdefault(worker.info.pod, []).append(worker)
    return [
        _load(pod, by_pod.get(pod.uid, []), now_ms)
        for pod in pods
        if not pod.deleting and not pod.ended
    ]


def _load(pod: Pod, children: Sequence[WorkerState], now_ms: int) -> Load:
    return Load(
        pod=pod,
        workers=tuple(child.info.id for child in children),
        held=sum(child.held for child in children),
        cordoned=bool(children)
        and all(
            child.draining or child.cordoned_until_ms > now_ms + CORDON_MARGIN_MS
            for child in children
        ),
        slots=sum(child.info.concurrency for child in children),
    )


def workers_for(found: Iterable[Load], template: str) -> tuple[Worker, ...]:
    """Return what the autoscaler asks about each pod; `template` is the present one's hash.

    A pod is ready only once its workers are registered: before that it takes no job.
    """
    return tuple(
        Worker(
            name=load.pod.name,
            held=load.held,
            ready=load.pod.ready and bool(load.workers),
            cordoned=load.cordoned,
            current=load.pod.template == template,
        )
        for load in found
    )


def slots_of(found: Iterable[Load], template: str) -> int:
    """Return how many jobs one worker runs at a time: what most of the present template have told.

    0 when none has told yet. A pod whose children are still coming up would tell too little, so of
    equally many the larger number counts.
    """
    told = [load for load in found if load.slots]
    present = [load.slots for load in told if load.pod.template == template]
    counts = Counter(present or [load.slots for load in told])
    return max(counts, key=lambda slots: (counts[slots], slots), default=0)


def plan(decision: Decision, found: Sequence[Load], wanted: int) -> Step:
    """Turn a decision into the next step; `wanted` is the Deployment's replicas as read."""
    by_name = {load.pod.name: load for load in found}
    victims = [by_name[name] for name in decision.cordon if name in by_name]
    if decision.target < wanted:
        victims += _in_the_way(found, victims)
    chosen = {load.pod.name for load in victims}
    spared = [by_name[name] for name in decision.uncordon if name in by_name and name not in chosen]
    return Step(
        cordon=tuple(worker for load in victims for worker in load.workers),
        uncordon=tuple(worker for load in spared for worker in load.workers),
        costs=_costs(found, victims),
        replicas=_replicas(decision, found, wanted),
    )


def _in_the_way(found: Sequence[Load], victims: Sequence[Load]) -> list[Load]:
    """Return pods that a ReplicaSet would take before the victims, though they may still claim.

    It takes not ready ones first whatever they cost, so they must be free before it may choose.
    """
    return [load for load in found if not load.pod.ready and load not in victims]


def _costs(found: Sequence[Load], victims: Sequence[Load]) -> dict[str, int | None]:
    """Mark victims that hold nothing; take the mark from everyone else who has it."""
    marked = {load.pod.name for load in victims if load.free}
    costs: dict[str, int | None] = {}
    for load in found:
        name, cost = load.pod.name, load.pod.cost
        if name in marked and cost != VICTIM_COST:
            costs[name] = VICTIM_COST
        elif name not in marked and cost == VICTIM_COST:
            costs[name] = None
    return costs


def _replicas(decision: Decision, found: Sequence[Load], wanted: int) -> int:
    """Return how far the Deployment may go now, on the way to what was decided."""
    if decision.replicas >= wanted:
        return decision.replicas
    missing = max(0, wanted - len(found))
    leaving = max(0, len(found) - wanted)
    may_go = missing + max(0, certain_victims(found) - leaving)
    return max(decision.replicas, wanted - may_go)


def certain_victims(found: Iterable[Load]) -> int:
    """Return how many of the pods that a ReplicaSet deletes first are certain to hold nothing."""
    return count_certain(found, _rank, lambda load: load.free)


def _rank(load: Load) -> Rank:
    pod = load.pod
    return deletion_rank(ready=pod.ready, cost=pod.cost, scheduled=pod.scheduled, phase=pod.phase)
