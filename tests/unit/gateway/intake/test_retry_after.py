"""Retry-After: the estimate of how long a job waits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints_core.jobs.states import State
from asyncendpoints_gateway.intake.retry_after import (
    Reading,
    WaitEstimate,
    offset_ms,
    retry_after,
    whole_seconds,
)
from support.http.jobs import NOW, job


def _readings(*rows: tuple[int, int, int, int, int]) -> WaitEstimate:
    """Feed (second, ready, claimed, ended, busy seconds)."""
    estimate = WaitEstimate()
    for second, ready, claimed, ended, busy in rows:
        estimate.add(Reading(NOW + second * 1_000, ready, claimed, 0, ended, busy * 1_000))
    return estimate


def test_without_samples_it_is_1() -> None:
    estimate = WaitEstimate()
    assert retry_after(estimate, job(), 10_000, NOW) == 1
    assert retry_after(estimate, job(state=State.IN_PROGRESS, started_ms=NOW), 0, NOW) == 1


def test_position_over_drain_rate_plus_one_run() -> None:
    estimate = _readings((0, 100, 0, 0, 0), (10, 80, 20, 20, 60))
    assert estimate.per_second == 2
    assert estimate.run_seconds == 3
    assert retry_after(estimate, job(), 0, NOW) == 4  # half a second, then a run
    assert retry_after(estimate, job(), 99, NOW) == 53
    assert retry_after(estimate, job(), 1_000_000, NOW) == 3_600


def test_time_without_queued_jobs_does_not_count_for_the_rate() -> None:
    estimate = _readings((0, 0, 0, 0, 0), (30, 0, 5, 5, 5), (31, 10, 5, 5, 5), (32, 0, 15, 15, 15))
    assert estimate.per_second == 5


def test_returned_jobs_do_not_count_as_having_left() -> None:
    estimate = WaitEstimate()
    estimate.add(Reading(NOW, 10, 0, 0, 0, 0))
    estimate.add(Reading(NOW + 1_000, 10, 5, 5, 0, 0))
    assert estimate.per_second is None


def test_a_queue_that_is_stuck_is_assumed_to_stay_so_as_long_again() -> None:
    estimate = _readings((0, 5, 0, 0, 0), (1, 5, 0, 0, 0), (40, 5, 0, 0, 0))
    assert retry_after(estimate, job(), 0, NOW) == 40
    estimate.add(Reading(NOW + 41_000, 4, 1, 0, 0, 0))
    assert retry_after(estimate, job(), 0, NOW) < 60


def test_old_readings_are_dropped_and_a_replaced_store_starts_again() -> None:
    estimate = _readings((0, 9, 0, 0, 0), (1, 9, 1_000, 1_000, 1), (100, 9, 1_010, 1_010, 1))
    assert estimate.per_second is None
    estimate = _readings((0, 9, 50, 50, 0), (1, 9, 60, 60, 1), (2, 9, 1, 1, 0))
    assert estimate.per_second is None
    estimate = _readings((1, 9, 0, 0, 0), (0, 9, 50, 50, 0))
    assert estimate.per_second is None


def test_the_retry_after_of_a_scheduled_job_is_when_it_is_due() -> None:
    scheduled = job(state=State.SCHEDULED, not_before_ms=NOW + 7_001)
    assert retry_after(WaitEstimate(), scheduled, 0, NOW) == 8
    assert retry_after(WaitEstimate(), scheduled, 0, NOW + 60_000) == 1


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
