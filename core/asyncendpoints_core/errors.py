"""Every exception the core raises, in one tree.

AsyncEndpointsError
├── StoreError
│   ├── StoreUnavailable     Redis cannot be reached or refuses writes   (HTTP 503)
│   ├── StoreVersionError    the store or a record is of a newer format  (refuse to run)
│   └── WorkerGone           the worker's lease is no longer in the store (abandon, register anew)
├── PermanentError           a handler says: do not retry
├── RetryAfter               a handler says: not before that many seconds
├── CannotListen             a port cannot be opened                  (exit status 1)
├── MalformedBody            a request's body is no JSON we take         (HTTP 400)
└── UsageError               a bad file, flag, module or handler          (exit status 2)
    ├── TemplateError        a route's path breaks a rule
    └── SchemaError          a route's JSON Schema cannot be used
"""

from __future__ import annotations

import math
from typing import Final


class AsyncEndpointsError(Exception):
    """The root of the tree."""


class StoreError(AsyncEndpointsError):
    """Something the store answered, or did not."""


class StoreUnavailable(StoreError):
    """The store cannot be reached, or cannot take this write now. Try again later."""


class StoreVersionError(StoreError):
    """The store was written by a newer format than this program reads."""


class WorkerGone(StoreError):
    """The store no longer knows this worker: what it held belongs to others now."""


class PermanentError(AsyncEndpointsError):
    """Raised by a handler for a failure that no retry can mend.

    `code` becomes the job's error code (`permanent` unless given).
    """

    def __init__(self, message: str = "", *, code: str = "permanent") -> None:
        """Keep the message shown to the client and the code."""
        super().__init__(message)
        self.code = code


class RetryAfter(AsyncEndpointsError):
    """Raised by a handler to run again after `seconds` (fractions allowed), budget permitting."""

    MAX_SECONDS: Final = 999_999_999.0
    """The longest delay, as that of Job-Delay; a longer one becomes this one."""

    def __init__(self, seconds: float, message: str = "") -> None:
        """Keep the delay, which must be 0 or more and finite (else ValueError), and the message."""
        if not 0 <= seconds < math.inf:
            raise ValueError(f"RetryAfter needs seconds of 0 or more, not {seconds!r}")
        super().__init__(message or f"asked to be retried after {seconds:g} s")
        self.seconds = min(float(seconds), self.MAX_SECONDS)


class UsageError(AsyncEndpointsError):
    """A fault in what the user gave: one clear line, exit status 2."""


class TemplateError(UsageError):
    """A path template that breaks a rule; the text says which and what to write."""


class SchemaError(UsageError):
    """A JSON Schema that cannot be used.

    `faults` holds (location inside the schema, what is wrong) for everything found, at least one.
    """

    def __init__(self, faults: list[tuple[tuple[str | int, ...], str]]) -> None:
        """Keep what was found; the text is the first of it."""
        super().__init__(faults[0][1])
        self.faults = faults


class CannotListen(AsyncEndpointsError):
    """A port cannot be opened; the text says why and what to do."""


class MalformedBody(AsyncEndpointsError):
    """Bytes that are no JSON, or JSON that is refused; the text repeats nothing of the body."""
