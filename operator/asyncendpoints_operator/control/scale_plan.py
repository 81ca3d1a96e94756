"""Scale-down that ends no busy worker: from pods and the store's workers to the next step. Pure.

scaling/decide.py decides how many workers there should be and which may end; here that becomes
writes: which workers to cordon, which pods get a deletion cost, and how far the Deployment may be
lowered now. It is lowered only by as many pods as a ReplicaSet certainly deletes from those that
hold nothing (docs/rules.md K4 to K7); what it did is read again for the next step.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from asyncendpoints_core.scaling.decide import Decision
from asyncendpoints_core.scaling.victims import (
    VICTIM_COST,
    Rank,
    Worker,
    count_certain,
    deletion_rank,
)
from asyncendpoints_core.store.replies import WorkerState
from asyncendpoints_operator.kube.pod_state import Pod

CORDON_SECONDS: Final = 30.0
"""How long a cordon lasts if it is not renewed, because the leader died."""
CORDON_MARGIN_MS: Final = 5_000
"""A cordon that ends sooner than this is not relied on."""


@dataclass(frozen=True, slots=True)
class Load:
    """A pod that is not terminating, and its workers in the store.

    `workers`: the ids of its registered processes. `cordoned`: none of them claims, for long enough
    to rely on. `slots`: jobs it can run at a time.
    """

    pod: Pod
    workers: tuple[str, ...]
    held: int
    cordoned: bool
    slots: int

    @property
    def free(self) -> bool:
        """Whether it holds no job and cannot claim one (docs/rules.md K4: cordon acknowledged).

        A pod without a registered worker has not started; if it starts now, it drains at once.
        """
        return self.held == 0 and (self.cordoned or not self.workers)


@dataclass(frozen=True, slots=True)
class Step:
    """What to write now, in this order.

    `cordon` and `uncordon` are ids of the store's workers. `costs` are pods' deletion costs to
    write (None: remove the annotation). `replicas` is for the Deployment; when it is lower than
    before, the write must carry the resourceVersion that was read.
    """

    cordon: tuple[str, ...]
    uncordon: tuple[str, ...]
    costs: Mapping[str, int | None]
    replicas: int


def cordon_owner(epoch: int) -> str:
    """Return the name by which the leader of an epoch (its Lease's transitions) cordons."""
    return f"operator/{epoch}"


def loads(pods: Iterable[Pod], workers: Iterable[WorkerState], now_ms: int) -> list[Load]:
    """Match pods with workers. Pods that are terminating are left out, with what they hold."""
    by_pod: dict[str, list[WorkerState]] = {}
    for worker in workers:
        by_pod.setdefault(worker.info.pod, []).append(worker)
    return [
        _load(pod, by_pod.get(pod.uid, []), now_ms)
        for pod in pods
        if not pod.deleting and not pod.ended
    ]


def _load(pod: Pod, workers: Sequence[WorkerState], now_ms: int) -> Load:
    soon = now_ms + CORDON_MARGIN_MS
    return Load(
        pod=pod,
        workers=tuple(worker.info.id for worker in workers),
        held=sum(worker.held for worker in workers),
        cordoned=bool(workers)
        and all(worker.draining or worker.cordoned_until_ms > soon for worker in workers),
        slots=sum(worker.info.concurrency for worker in workers),
    )


def workers_for(found: Iterable[Load], template: str) -> tuple[Worker, ...]:
    """Return each pod as the autoscaler needs it; `template` is the current one's hash.

    A pod is ready only once its workers are registered: before that it claims no job.
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
    """Return how many jobs one worker runs at a time: the most frequent number of registered slots.

    Pods of the current template count first; 0 while no worker is registered. A pod whose processes
    are still starting registers too few, so of equally frequent numbers the larger one counts.
    """
    registered = [load for load in found if load.slots]
    current = [load.slots for load in registered if load.pod.template == template]
    counts = Counter(current or [load.slots for load in registered])
    return max(counts, key=lambda slots: (counts[slots], slots), default=0)


def plan(decision: Decision, found: Sequence[Load], wanted: int) -> Step:
    """Turn a decision into the next step; `wanted` is the Deployment's replicas as read."""
    by_name = {load.pod.name: load for load in found}
    victims = [by_name[name] for name in decision.cordon if name in by_name]
    if decision.target < wanted:
        victims += _deleted_first(found, victims)
    chosen = {load.pod.name for load in victims}
    spared = [by_name[name] for name in decision.uncordon if name in by_name and name not in chosen]
    return Step(
        cordon=tuple(worker for load in victims for worker in load.workers),
        uncordon=tuple(worker for load in spared for worker in load.workers),
        costs=_costs(found, victims),
        replicas=_replicas(decision, found, wanted),
    )


def _deleted_first(found: Sequence[Load], victims: Sequence[Load]) -> list[Load]:
    """Return pods that a ReplicaSet would delete before the victims, though they may still claim.

    It deletes pods that are not ready first, whatever their cost, so they must be free as well.
    """
    return [load for load in found if not load.pod.ready and load not in victims]


def _costs(found: Sequence[Load], victims: Sequence[Load]) -> dict[str, int | None]:
    """Set the cost of victims that hold nothing; remove it from every other pod."""
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
    """Return how far the Deployment may be scaled now, on the way to the decided number."""
    if decision.replicas >= wanted:
        return decision.replicas
    missing = max(0, wanted - len(found))
    leaving = max(0, len(found) - wanted)
    removable = missing + max(0, certain_victims(found) - leaving)
    return max(decision.replicas, wanted - removable)


def certain_victims(found: Iterable[Load]) -> int:
    """Return how many of the pods that a ReplicaSet deletes first are certain to hold nothing."""
    return count_certain(found, _rank, lambda load: load.free)


def _rank(load: Load) -> Rank:
    pod = load.pod
    return deletion_rank(ready=pod.ready, cost=pod.cost, scheduled=pod.scheduled, phase=pod.phase)
