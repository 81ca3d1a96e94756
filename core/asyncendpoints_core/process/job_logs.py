"""The log of a running attempt: captures the records that its handler makes, as lines of text.

The levels, handlers and filters of the user's loggers are not changed. What is kept is bounded;
sending it to the store is the worker's (engine/logs.py).
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.common.time_source import rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable

OWN: Final = "asyncendpoints"
MAX_LINE_BYTES: Final = 4_096
"""A line with its line feed; longer ones are cut."""
_CUT: Final = b" [cut]\n"
_NOTE_BYTES: Final = 32
"""Room for the note of what was dropped."""


class JobLog:
    """Lines of one attempt that wait to be sent, at most `limit` bytes: the oldest are dropped.

    Safe to use from several threads; `changed` is called when the first line waits, from any of
    them.
    """

    def __init__(self, limit: int, changed: Callable[[], None]) -> None:
        """Start empty."""
        self._limit = limit
        self._line_limit = min(MAX_LINE_BYTES, limit - _NOTE_BYTES)
        self._changed = changed
        self._lock = threading.Lock()
        self._lines: deque[bytes] = deque()
        self._size = self._dropped = 0

    def add(self, text: str) -> None:
        """Add the lines of a text."""
        lines = [_bounded(line, self._line_limit) for line in text.splitlines() or [""]]
        with self._lock:
            first = not self._lines
            for line in lines:
                self._lines.append(line)
                self._size += len(line)
            while self._size > self._limit:
                self._size -= len(self._lines.popleft())
                self._dropped += 1
        if first:
            self._changed()

    def take(self) -> bytes:
        """Return what waits, and how much was dropped of it, in at most `limit` bytes."""
        with self._lock:
            dropped, self._dropped = self._dropped, 0
            noun = "line" if dropped == 1 else "lines"
            note = f"[{dropped} {noun} dropped]\n".encode() if dropped else b""
            while self._size + len(note) > self._limit:
                self._size -= len(self._lines.popleft())
            text = note + b"".join(self._lines)
            self._lines.clear()
            self._size = 0
            return text


def _bounded(line: str, limit: int) -> bytes:
    data = line.encode(errors="backslashreplace") + b"\n"
    if len(data) <= limit:
        return data
    return data[: limit - len(_CUT)].decode(errors="ignore").encode() + _CUT


current_log: Final[ContextVar[JobLog | None]] = ContextVar("current_log", default=None)
"""The log of the attempt whose handler runs in this context, if logs are kept."""


class JobLogHandler(logging.Handler):
    """Adds records to the log of the attempt that made them; without `own`, none of this system's:
    these do not reach the root logger unless the user says so.
    """

    def __init__(self, level: str, *, traces: bool, own: bool) -> None:
        """Capture records of `level` and above, with tracebacks if `traces`."""
        super().__init__(level)
        self._own = own
        self.setFormatter(LineFormatter(traces=traces))

    def emit(self, record: logging.LogRecord) -> None:
        """Add the record's lines."""
        log = current_log.get()
        if log is None or (not self._own and record.name.partition(".")[0] == OWN):
            return
        try:
            text = self.format(record)
        except Exception:
            # As logging does for arguments that do not fit the message: the handler goes on.
            text = f"{_head(record)} {record.msg!r} [cannot be formatted]"
        log.add(text)


def _head(record: logging.LogRecord) -> str:
    name = record.name.removeprefix(f"{OWN}.")
    return f"{rfc3339(int(record.created * 1000))} {record.levelname} {name}:"


class LineFormatter(logging.Formatter):
    """Time, level, logger and message; of an exception its traceback, or the last line of it."""

    def __init__(self, *, traces: bool) -> None:
        super().__init__()
        self._traces = traces

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text."""
        parts = [f"{_head(record)} {record.getMessage()}"]
        if record.exc_info:
            trace = self.formatException(record.exc_info)
            parts.append(trace if self._traces else _last_line(trace))
        if record.stack_info and self._traces:
            parts.append(self.formatStack(record.stack_info))
        return "\n".join(parts)


def _last_line(trace: str) -> str:
    """Return the exception of a traceback: what follows the last line that is indented."""
    lines = trace.splitlines()
    indented = [at for at, line in enumerate(lines) if line.startswith((" ", "Traceback"))]
    return "\n".join(lines[indented[-1] + 1 :] if indented else lines)


class Capture:
    """The handlers of one engine: on the root logger and on this system's own."""

    def __init__(self, level: str, *, traces: bool) -> None:
        """Prepare; `attach` begins."""
        own = JobLogHandler(level, traces=traces, own=True)
        users = JobLogHandler(level, traces=traces, own=False)
        self._handlers = (logging.getLogger(OWN), own), (logging.getLogger(), users)

    def attach(self) -> None:
        """Capture; again where the user's configuration has removed the handlers."""
        for logger, handler in self._handlers:
            if handler not in logger.handlers:
                logger.addHandler(handler)

    def detach(self) -> None:
        """Capture nothing more."""
        for logger, handler in self._handlers:
            logger.removeHandler(handler)
