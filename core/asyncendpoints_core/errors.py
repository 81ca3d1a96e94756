"""Every exception of the core, in one tree. Callers decide by these types, never by a message.

AsyncEndpointsError
├── StoreError                    the store cannot be used; waiting does not help
│   ├── StoreUnavailable          no answer, or none that settles it: send it again (HTTP 503)
│   │   └── StoreAuthenticationError  credentials or rights refused: read the credentials again
│   ├── StoreVersionError         the store or a record has a newer format (refuse to run)
│   ├── StoreUnsupported          the server is too old, or not durable where that is required
│   ├── RecordError               a stored record or an argument cannot be processed: only this
│   │                             blames an item of a batch, and may divide the batch
│   └── WorkerGone                the worker has no lease (abandon its jobs, register a new id)
├── PermanentError                raised by a handler: do not retry
├── RetryAfter                    raised by a handler: retry after that many seconds
├── CannotListen                  a port cannot be opened (exit status 1)
├── MalformedBody                 a request's body is not acceptable JSON (HTTP 400)
├── InvalidCursor                 a cursor is not one of this listing (HTTP 400)
└── UsageError                    an invalid file, flag, module or handler (exit status 2)
    ├── TemplateError             a route's path template is not valid
    └── SchemaError               a route's JSON Schema cannot be used
"""

from __future__ import annotations

import math
from typing import Final


class AsyncEndpointsError(Exception):
    """The root of the tree."""


class StoreError(AsyncEndpointsError):
    """The store cannot be used as it is."""


class StoreUnavailable(StoreError):
    """The store cannot be reached, or cannot decide now. The call may have been carried out or
    not; every verb can be sent again.
    """


class InvalidCursor(AsyncEndpointsError, ValueError):
    """A cursor is not one that a page of the same listing had."""

    def __init__(self) -> None:
        """The message is the same for all."""
        super().__init__("not a cursor of this listing")


class StoreAuthenticationError(StoreUnavailable):
    """The store refuses the user, its password or its rights; the credentials may have changed."""


class StoreVersionError(StoreError):
    """The store was written by a newer format than this program reads."""


class StoreUnsupported(StoreError):
    """The server is too old, lacks a command, or does not persist where that is required."""


class RecordError(StoreError):
    """A stored record, or one of a call's arguments, cannot be processed."""


class WorkerGone(StoreError):
    """The worker has no lease: the jobs it held may run elsewhere."""


class PermanentError(AsyncEndpointsError):
    """Raised by a handler for a failure that a retry cannot fix.

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
        self.seconds = float(min(seconds, self.MAX_SECONDS))  # an int may be larger than any float
        super().__init__(message or f"retry requested after {self.seconds:g} s")


class UsageError(AsyncEndpointsError):
    """Invalid input of the user: one clear line, exit status 2."""


class TemplateError(UsageError):
    """A path template that is not valid; the text says why and what to write instead."""


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
    """Bytes that are not JSON, or refused JSON; the text repeats nothing of the body."""
