"""The order in which workers are removed on a scale-down: pods, processes and tasks alike. Pure.

It is the order in which a ReplicaSet deletes pods (`ActivePodsWithRanks` in Kubernetes), because
the pods that a Deployment removes cannot be chosen directly.
"""

from __future__ import annotations

from itertools import groupby, takewhile
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

VICTIM_COST: Final = -100
"""Deletion cost of a worker that may end; all others have none, which counts as 0."""
_PHASES: Final = {"Pending": 0, "Unknown": 1}

T = TypeVar("T")
Rank = tuple[bool, int, bool, int]


class Worker(msgspec.Struct, frozen=True):
    """One worker (a pod, or a local one) that is not terminating.

    `held`: jobs that it holds. `current`: whether it has the current template.
    """

    name: str
    held: int = 0
    ready: bool = True
    cordoned: bool = False
    current: bool = True


def deletion_rank(
    *, ready: bool, cost: int, scheduled: bool = True, phase: str = "Running"
) -> Rank:
    """Return what a ReplicaSet sorts a pod by: those with the lowest rank are deleted first."""
    return scheduled, _PHASES.get(phase, 2), ready, cost


def victim_order(workers: Iterable[Worker]) -> list[Worker]:
    """Sort workers by who ends first; among equals the least loaded, to lose the least time."""
    return sorted(workers, key=_victim_rank)


def _victim_rank(worker: Worker) -> tuple[Rank, bool, int, str]:
    cost = VICTIM_COST if worker.cordoned and worker.held == 0 else 0
    rank = deletion_rank(ready=worker.ready, cost=cost)
    return rank, not worker.cordoned, worker.held, worker.name


def count_removable(victims: Iterable[Worker]) -> int:
    """Return how many of the first `victims` hold no job and can claim none."""
    return sum(1 for _ in takewhile(_is_removable, victims))


def _is_removable(worker: Worker) -> bool:
    return worker.held == 0 and (worker.cordoned or not worker.ready)


def count_certain(
    pods: Iterable[T], rank: Callable[[T], Rank], is_free: Callable[[T], bool]
) -> int:
    """Return how many of the pods that a ReplicaSet deletes first are certain to be free.

    Its choice among pods of equal rank is unknown, so a group of them counts only as a whole.
    """
    count = 0
    for _, group in groupby(sorted(pods, key=rank), key=rank):
        equals = list(group)
        if not all(map(is_free, equals)):
            break
        count += len(equals)
    return count
