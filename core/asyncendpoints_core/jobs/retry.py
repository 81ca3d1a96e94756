"""Whether and when a failed attempt is tried again. Pure functions over frozen records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints_core.jobs.records import JobError


class RetryPolicy(msgspec.Struct, frozen=True):
    """How attempts are spaced. Times in milliseconds."""

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
    """What becomes of a failed attempt: `delay_ms` until the next one, or None for the end."""

    delay_ms: int | None

    @property
    def again(self) -> bool:
        """Whether there is a next attempt."""
        return self.delay_ms is not None


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

    Exponential with full jitter; a `retry_after_ms` asked for by the handler or an HTTP target
    replaces the computed delay. `random` gives uniform numbers in [0, 1).
    """
    if not error.retryable or attempt >= max_attempts:
        return RetryDecision(None)
    if retry_after_ms is not None:
        return RetryDecision(retry_after_ms)
    delay = backoff_ms(policy, attempt)
    return RetryDecision(int(delay * random()) if policy.jitter == "full" else delay)
