"""The logs of jobs: what a worker adds to a store, and what is read of it."""

from __future__ import annotations

from typing import Final

import msgspec

from asyncendpoints_core.jobs.records import MAX_ATTEMPTS_KEPT, Claim

MAX_ATTEMPTS: Final = MAX_ATTEMPTS_KEPT
"""How many attempts of a job have a log: the newest, as in its history."""
ENDPOINT_BYTES: Final = 64 * 1_048_576
"""What the logs of an endpoint may take; those that were written to least recently go first."""
CALL_BYTES: Final = 2 * 1_048_576
"""What one call may read and write: each item counts with the whole log of its job."""


class LogWrite(msgspec.Struct, frozen=True):
    """Whole lines, in UTF-8, to add to the log of a claim's attempt.

    `attempt` is the attempt's number, and `position` how many bytes of its log were written before:
    what is sent again is added once. `unless_completed`: if the claim completed its job, its log is
    removed instead.
    """

    claim: Claim
    attempt: int
    position: int
    text: bytes
    unless_completed: bool = False


class AttemptLog(msgspec.Struct, frozen=True):
    """The log of one claim. `cut`: earlier lines were dropped. `written` is how many bytes it has
    had: `text` is the last of them.
    """

    attempt: int
    claim: int
    text: str
    written: int
    cut: bool = False


def items_per_call(limit: int) -> int:
    """Return how many items one call may have whose logs have at most `limit` bytes an attempt."""
    return max(1, CALL_BYTES // (limit * (MAX_ATTEMPTS + 1)))
