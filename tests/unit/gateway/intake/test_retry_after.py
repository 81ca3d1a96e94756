"""Retry-After: the estimate of how long a job waits."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints_core.jobs.policy import Limit, limits_of
from asyncendpoints_core.jobs.records import Attributes, Job
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.positions import Position
from asyncendpoints_gateway.intake.retry_after import (
    Reading,
    WaitEstimate,
    offset_ms,
    whole_seconds,
)
from asyncendpoints_gateway.intake.retry_after import retry_after as estimated
from support.http.jobs import NOW, job

LIMITS = limits_of(
    total=Limit(concurrency=10),
    jobs={"build": Limit(concurrency=5)},
    every_key=Limit(concurrency=2),
    keys={"acme": Limit(concurrency=4)},
)


def _readings(*rows: tuple[int, int, int, int, int], startable: bool = True) -> WaitEstimate:
    """Feed (second, ready, claimed, ended, busy seconds)."""
    estimate = WaitEstimate()
    for second, ready, claimed, ended, busy in rows:
        may = ready if startable else 0
        estimate.add(Reading(NOW + second * 1_000, ready, may, claimed, 0, ended, busy * 1_000))
    return estimate


def retry_after(estimate: WaitEstimate, one: Job, ahead: int, now_ms: int) -> int:
    return estimated(estimate, one, Position(ahead), None, now_ms)


def test_without_samples_it_is_1() -> None:
    estimate = WaitEstimate()
    assert retry_after(estimate, job(), 10_000, NOW) == 1
    assert retry_after(estimate, job(state=State.IN_PROGRESS, started_ms=NOW), 0, NOW) == 1


def test_position_over_drain_rate_plus_one_run() -> None:
    estimate = _readings((0, 100, 0, 0, 0), (10, 80, 20, 20, 60))
    assert estimate.starts.per_second == 2
    assert estimate.run_seconds == 3
    assert retry_after(estimate, job(), 0, NOW) == 4  # half a second, then a run
    assert retry_after(estimate, job(), 99, NOW) == 53
    assert retry_after(estimate, job(), 1_000_000, NOW) == 3_600


def test_time_without_queued_jobs_does_not_count_for_the_rate() -> None:
    estimate = _readings((0, 0, 0, 0, 0), (30, 0, 5, 5, 5), (31, 10, 5, 5, 5), (32, 0, 15, 15, 15))
    assert estimate.starts.per_second == 5


def test_returned_jobs_do_not_count_as_having_left() -> None:
    estimate = WaitEstimate()
    estimate.add(Reading(NOW, 10, 10, 0, 0, 0, 0))
    estimate.add(Reading(NOW + 1_000, 10, 10, 5, 5, 0, 0))
    assert estimate.starts.per_second is None


def test_a_queue_that_is_stuck_is_assumed_to_stay_so_as_long_again() -> None:
    estimate = _readings((0, 5, 0, 0, 0), (1, 5, 0, 0, 0), (40, 5, 0, 0, 0))
    assert retry_after(estimate, job(), 0, NOW) == 40
    estimate.add(Reading(NOW + 41_000, 4, 4, 1, 0, 0, 0))
    assert retry_after(estimate, job(), 0, NOW) < 60


def test_old_readings_are_dropped_and_a_replaced_store_starts_again() -> None:
    estimate = _readings((0, 9, 0, 0, 0), (1, 9, 1_000, 1_000, 1), (100, 9, 1_010, 1_010, 1))
    assert estimate.starts.per_second is None
    estimate = _readings((0, 9, 50, 50, 0), (1, 9, 60, 60, 1), (2, 9, 1, 1, 0))
    assert estimate.starts.per_second is None
    estimate = _readings((1, 9, 0, 0, 0), (0, 9, 50, 50, 0))
    assert estimate.starts.per_second is None


def test_the_retry_after_of_a_scheduled_job_is_when_it_is_due() -> None:
    scheduled = job(state=State.SCHEDULED, not_before_ms=NOW + 7_001)
    assert retry_after(WaitEstimate(), scheduled, 0, NOW) == 8
    assert retry_after(WaitEstimate(), scheduled, 0, NOW + 60_000) == 1


def test_the_pace_of_a_limit_counts_where_it_is_slower_than_the_queue() -> None:
    estimate = _readings((0, 100, 0, 0, 0), (10, 80, 20, 20, 60))  # 2 a second, each runs 3 s
    acme = job(attributes=Attributes(key="acme"))
    other = job(attributes=Attributes(key="other"))
    for one, position, seconds in (
        (acme, Position(0, 0, 0), 0.5),
        (acme, Position(0, 0, 90_000), 90),  # for its next token
        (acme, Position(3, 40, 0), 30),  # 40 of its key, 4 at a time
        (other, Position(3, 40, 0), 60),
        (job(), Position(3, 40, 0), 24),  # 5 of its name at a time
        (job(name="mail"), Position(400, 0, 0), 200.5),  # the queue is slower than 10 at a time
        (acme, Position(0, 0, 3_600_000), 3_600),
    ):
        wanted = min(3_600, math.ceil(seconds + 3))
        assert estimated(estimate, one, position, LIMITS, NOW) == wanted


def test_jobs_that_a_limit_holds_back_say_nothing_about_the_workers() -> None:
    # Of 100 that wait, one starts in 10 s, and none of the others may.
    rows = ((0, 100, 0, 0, 0), (10, 99, 1, 1, 0), (20, 98, 2, 2, 0), (39, 98, 2, 2, 0))
    estimate = _readings(*rows, startable=False)
    assert retry_after(estimate, job(), 0, NOW) == 1
    assert estimate.until_next() == 19.5
    assert _readings(*rows).starts.until(1) == 19.5


def test_the_next_job_of_a_key_starts_when_its_limit_lets_it() -> None:
    estimate = _readings((0, 100, 0, 0, 0), (10, 80, 20, 20, 240))  # 2 a second, each runs 12 s
    assert estimate.until_next_of("acme", Position(3), LIMITS) == 3
    assert estimate.until_next_of("acme", Position(99), LIMITS) == 50
    assert estimate.until_next_of("other", Position(3), LIMITS) == 6
    assert estimate.until_next_of("acme", Position(3, 0, 90_000), LIMITS) == 90


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_whole_seconds_from_1_to_3600(seconds: float) -> None:
    assert 1 <= whole_seconds(seconds) <= 3_600


@pytest.mark.parametrize(
    ("store", "asked", "answered", "offset"),
    [(10, 10, 10, 0), (12, 10, 15, 0), (20, 10, 15, 5), (4, 10, 15, -6)],
)
def test_clocks_that_can_be_equal_have_no_offset(
    store: int, asked: int, answered: int, offset: int
) -> None:
    assert offset_ms(store, asked, answered) == offset
