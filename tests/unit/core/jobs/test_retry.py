"""Whether and when a failed attempt is tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints_core.jobs.records import JobError
from asyncendpoints_core.jobs.retry import RetryDecision, RetryPolicy, backoff_ms, decide

AGAIN = JobError("handler-error", "it went wrong", retryable=True)
NEVER = JobError("permanent", "no such customer", retryable=False)
PLAIN = RetryPolicy(jitter="none")


def test_the_delays_of_the_contract() -> None:
    delays = [backoff_ms(RetryPolicy(), retry) for retry in range(1, 10)]
    assert delays == [2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000]


def test_without_jitter_the_delay_is_the_ceiling() -> None:
    assert [decide(PLAIN, n, 9, AGAIN, lambda: 0.5).delay_ms for n in (1, 2, 3)] == [
        2_000,
        4_000,
        8_000,
    ]


def test_full_jitter_is_uniform_below_the_ceiling() -> None:
    policy = RetryPolicy()
    assert decide(policy, 2, 9, AGAIN, lambda: 0.0).delay_ms == 0
    assert decide(policy, 2, 9, AGAIN, lambda: 0.25).delay_ms == 1_000
    assert decide(policy, 2, 9, AGAIN, lambda: 1 - 2**-53).delay_ms == 3_999


def test_the_budget_counts_runs() -> None:
    assert RetryPolicy(max_retries=3).max_attempts == 4
    assert decide(PLAIN, 3, 4, AGAIN, lambda: 0.5).delay_ms is not None
    assert decide(PLAIN, 4, 4, AGAIN, lambda: 0.5) == RetryDecision(None)
    assert decide(PLAIN, 5, 4, AGAIN, lambda: 0.5) == RetryDecision(None)
    assert decide(PLAIN, 1, 1, AGAIN, lambda: 0.5) == RetryDecision(None)


def test_a_permanent_error_is_never_tried_again() -> None:
    assert decide(PLAIN, 1, 9, NEVER, lambda: 0.5) == RetryDecision(None)
    assert decide(PLAIN, 1, 9, NEVER, lambda: 0.5, retry_after_ms=10) == RetryDecision(None)


def test_the_delay_that_a_handler_requests_replaces_the_backoff() -> None:
    assert decide(PLAIN, 1, 9, AGAIN, lambda: 0.5, retry_after_ms=0) == RetryDecision(0)
    # Even beyond the policy's ceiling: whoever asks knows why.
    assert decide(PLAIN, 1, 9, AGAIN, lambda: 0.5, retry_after_ms=999_999).delay_ms == 999_999


def test_but_not_the_budget() -> None:
    assert decide(PLAIN, 4, 4, AGAIN, lambda: 0.5, retry_after_ms=5) == RetryDecision(None)


@pytest.mark.parametrize("multiplier", [1.0, 1.5, 10.0])
def test_a_huge_retry_number_is_the_ceiling(multiplier: float) -> None:
    policy = RetryPolicy(multiplier=multiplier, max_ms=5_000)
    assert backoff_ms(policy, 10_000_000) == (5_000 if multiplier > 1 else 2_000)


@given(
    initial=st.integers(0, 10**7),
    multiplier=st.floats(1, 100),
    ceiling=st.integers(0, 10**8),
    retry=st.integers(1, 10**6),
    uniform=st.floats(0, 1, exclude_max=True),
)
def test_a_delay_is_between_nothing_and_the_ceiling(
    initial: int, multiplier: float, ceiling: int, retry: int, uniform: float
) -> None:
    policy = RetryPolicy(initial_ms=initial, multiplier=multiplier, max_ms=ceiling)
    delay = decide(policy, retry, retry + 1, AGAIN, lambda: uniform).delay_ms
    assert delay is not None
    assert 0 <= delay <= backoff_ms(policy, retry) <= ceiling
    assert backoff_ms(policy, retry) <= backoff_ms(policy, retry + 1)
