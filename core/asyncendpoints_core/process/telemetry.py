"""Structured logs, trace context, and the names of metrics.

Logs go to stderr: one readable line on a terminal, one JSON object a line anywhere else.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Any, Final, Literal, TextIO

from asyncendpoints_core.common.faults import one_line
from asyncendpoints_core.common.time_source import rfc3339

LogFormat = Literal["auto", "text", "json"]

ROOT: Final = "asyncendpoints"
"""The logger that every part of the system logs below."""

# The standard attributes of a log record; all others were passed as `extra`.
_STANDARD: Final = frozenset(
    (*vars(logging.makeLogRecord({})), "message", "asctime", "color_message", "taskName")
)
_COLOURS: Final = {"DEBUG": "\x1b[2m", "WARNING": "\x1b[33m", "ERROR": "\x1b[31m"}


def configure_logging(
    level: str = "info", style: LogFormat = "auto", stream: TextIO | None = None
) -> None:
    """Log records of `level` and above to `stream` (default: stderr), in one format."""
    out = sys.stderr if stream is None else stream
    terminal = out.isatty()
    text = style == "text" or (style == "auto" and terminal)
    handler = logging.StreamHandler(out)
    handler.setFormatter(TextFormatter(terminal) if text else JsonFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)  # for libraries
    logging.getLogger(ROOT).setLevel(level.upper())


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, `extra` fields, error."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
        fields: dict[str, Any] = {
            "time": rfc3339(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extras(record),
        }
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """One readable line; the traceback of an exception follows it."""

    def __init__(self, colours: bool = False) -> None:
        super().__init__()
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text; control characters in a message cannot forge a line."""
        time = self.formatTime(record, "%H:%M:%S")
        extras = "".join(f" {key}={value}" for key, value in _extras(record).items())
        name = record.name.removeprefix(f"{ROOT}.")
        message = one_line(record.getMessage() + extras)
        line = f"{time} {record.levelname.lower():7} {name}: {message}"
        if self._colours and (colour := _COLOURS.get(record.levelname)):
            line = f"{colour}{line}\x1b[0m"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


_TRACEPARENT: Final = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)


def parse_traceparent(value: str) -> str | None:
    """Return a valid trace context, None for an invalid one (W3C Trace Context §3.2.2).

    Version 00 has exactly four parts; additional parts of later versions are dropped.
    """
    match = _TRACEPARENT.fullmatch(value.strip())
    if match is None or (match[1] == "00" and match[5] is not None):
        return None
    return f"00-{match[2]}-{match[3]}-{match[4]}" if match[5] else match[0]


class Metric:
    """The names of metrics, which docs/metrics.md describes."""

    JOBS: Final = "asyncendpoints_jobs"
    QUEUE_AGE: Final = "asyncendpoints_queue_age_seconds"
    QUEUE_BYTES: Final = "asyncendpoints_queue_bytes"
    WORKERS: Final = "asyncendpoints_workers"
    TOTALS: Final = "asyncendpoints_job_events"
    SUBMISSIONS: Final = "asyncendpoints_submissions"
    REQUESTS: Final = "asyncendpoints_http_request_duration_seconds"
    WAITERS: Final = "asyncendpoints_http_waiters"
    BATCH: Final = "asyncendpoints_store_batch_size"
    STORE_ERRORS: Final = "asyncendpoints_store_errors"
    STORE_UP: Final = "asyncendpoints_store_up"
    FAST_PATH: Final = "asyncendpoints_gateway_fast_path"
