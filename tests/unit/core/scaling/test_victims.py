"""The order in which workers end, and how many of them are certain to hold nothing."""

from asyncendpoints_core.scaling.victims import (
    VICTIM_COST,
    Rank,
    Worker,
    count_certain,
    count_removable,
    deletion_rank,
    victim_order,
)


def test_not_ready_workers_end_first_then_the_cordoned_and_empty_then_the_least_loaded() -> None:
    workers = [
        Worker("busy", held=3),
        Worker("less-busy", held=1),
        Worker("cordoned-busy", held=5, cordoned=True),
        Worker("cordoned-empty", cordoned=True),
        Worker("starting", ready=False),
    ]
    order = [worker.name for worker in victim_order(workers)]
    assert order == ["starting", "cordoned-empty", "cordoned-busy", "less-busy", "busy"]


def test_a_worker_that_may_claim_ends_the_count_of_the_removable() -> None:
    starting, cordoned = Worker("a", ready=False), Worker("b", cordoned=True)
    assert count_removable([starting, cordoned, Worker("c"), cordoned]) == 2
    assert count_removable([Worker("a", held=1, ready=False)]) == 0


def test_pods_are_ranked_as_a_replica_set_does() -> None:
    ranks = [
        deletion_rank(ready=False, cost=0, scheduled=False, phase="Pending"),
        deletion_rank(ready=False, cost=0, phase="Pending"),
        deletion_rank(ready=False, cost=0),
        deletion_rank(ready=True, cost=VICTIM_COST),
        deletion_rank(ready=True, cost=0),
    ]
    assert sorted(ranks) == ranks


def test_pods_of_equal_rank_are_certain_only_together() -> None:
    first, second = deletion_rank(ready=False, cost=0), deletion_rank(ready=True, cost=0)

    def certain(*pods: tuple[Rank, bool]) -> int:
        return count_certain(pods, lambda pod: pod[0], lambda pod: pod[1])

    assert certain((second, True), (first, True), (second, False)) == 1
    assert certain((second, True), (first, True), (second, True)) == 3
    assert certain((first, False), (second, True)) == 0
