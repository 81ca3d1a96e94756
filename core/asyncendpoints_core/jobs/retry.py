"""Whether and when a failed attempt is retried. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints_core.jobs.records import JobError


class RetryPolicy(msgspec.Struct, frozen=True):
    """How often and when a job is retried. Times in milliseconds."""

    max_retries: int = 3
    initial_ms: int = 2_000
    multiplier: float = 2.0
    max_ms: int = 300_000
    jitter: Literal["full", "none"] = "full"
    max_crashes: int = 3

    @property
    def max_attempts(self) -> int:
        """The first run and every retry."""
        return self.max_retries + 1


class RetryDecision(msgspec.Struct, frozen=True):
    """The delay until the next attempt, or None for no further attempt."""

    delay_ms: int | None


def backoff_ms(policy: RetryPolicy, retry: int) -> int:
    """Return the ceiling in ms of the delay before retry number `retry` (1 is the first)."""
    try:
        delay = policy.initial_ms * policy.multiplier ** (retry - 1)
    except OverflowError:
        return policy.max_ms
    return int(min(policy.max_ms, delay))


def decide(
    policy: RetryPolicy,
    attempt: int,
    max_attempts: int,
    error: JobError,
    random: Callable[[], float],
    retry_after_ms: int | None = None,
) -> RetryDecision:
    """Decide on the failure `error` of run number `attempt` (1 is the first).

    Exponential backoff with full jitter; a `retry_after_ms` requested by the handler or an HTTP
    target replaces it. `random` returns uniform numbers in [0, 1).
    """
    if not error.retryable or attempt >= max_attempts:
        return RetryDecision(None)
    if retry_after_ms is not None:
        return RetryDecision(retry_after_ms)
    delay = backoff_ms(policy, attempt)
    return RetryDecision(int(delay * random()) if policy.jitter == "full" else delay)
