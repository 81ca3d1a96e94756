"""Every exception the core raises, in one tree.

AsyncEndpointsError
├── StoreError
│   ├── StoreUnavailable     Redis cannot be reached or refuses writes   (HTTP 503)
│   ├── StoreVersionError    the store or a record is of a newer format  (refuse to run)
│   └── WorkerGone           the worker's lease is no longer in the store (abandon, register anew)
├── PermanentError           a handler says: do not retry
├── RetryAfter               a handler says: not before that many seconds
└── UsageError               a bad file, flag, module or handler          (exit status 2)
"""

from __future__ import annotations


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

    def __init__(self, seconds: float, message: str = "") -> None:
        """Keep the delay, which must be 0 or more, and the message."""
        if not seconds >= 0:
            raise ValueError(f"RetryAfter needs seconds of 0 or more, not {seconds!r}")
        super().__init__(message or f"asked to be retried after {seconds:g} s")
        self.seconds = seconds


class UsageError(AsyncEndpointsError):
    """A fault in what the user gave: one clear line, exit status 2."""
