"""Structured logs on stderr: one readable line on a terminal, one JSON object a line elsewhere.

Records of this system go to a handler of their own. What user code logs goes to a handler of the
root logger, which user code may replace: docs/logging.md.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from contextvars import ContextVar
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, Final, TextIO

from asyncendpoints_core.common.faults import one_line
from asyncendpoints_core.common.time_source import rfc3339
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.process.job_logs import JobLogHandler

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.process.setting_info import LogFormat

ROOT: Final = "asyncendpoints"
"""The logger that every part of the system logs below."""
PARTS: Final = ("console", "gateway", "operator", "recovery", "run", "worker")
JOB_FIELD: Final = "asyncendpoints_job"
"""The attribute of each log record that holds the id of the job it belongs to, or nothing."""

current_job: Final[ContextVar[JobId | None]] = ContextVar("current_job", default=None)
"""The job whose handler runs in this context."""

# The standard attributes of a log record; all others were passed as `extra`.
_STANDARD: Final = frozenset(
    (*vars(logging.makeLogRecord({})), "message", "asctime", "color_message", "taskName", JOB_FIELD)
)
_COLOURS: Final = {"DEBUG": "\x1b[2m", "WARNING": "\x1b[33m", "ERROR": "\x1b[31m"}


class _StaysEnabled(logging.Logger):
    """A logger of this system. `dictConfig` and `fileConfig` disable every logger that exists and
    that they do not mention; the traceback of a failing handler would be lost.
    """

    @property
    def disabled(self) -> bool:
        """Never."""
        return False

    @disabled.setter
    def disabled(self, value: bool) -> None:
        """Ignore it."""


def wants_colours() -> bool:
    """Return whether a terminal is to get colours: not with a NO_COLOR that is not empty
    (https://no-color.org), and not if it knows none.
    """
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def configure_logging(
    level: str = "info",
    style: LogFormat = "auto",
    stream: TextIO | None = None,
    *,
    user_code: bool = False,
) -> None:
    """Log records of `level` and above to `stream` (default: stderr), in one format.

    Of libraries only warnings and above, unless `user_code` runs in this process: that logs at
    `level` too, with the id of its job.
    """
    out = sys.stderr if stream is None else stream
    terminal = out.isatty()
    text = style == "text" or (style == "auto" and terminal)
    coloured = terminal and wants_colours()
    formatter = TextFormatter(coloured) if text else JsonFormatter(only=style == "json")
    own, root = logging.getLogger(ROOT), logging.getLogger()
    default = logging.StreamHandler(out)
    for logger, handler in ((own, logging.StreamHandler(out)), (root, default)):
        handler.setFormatter(formatter)
        for old in logger.handlers[:]:
            logger.removeHandler(old)
        logger.addHandler(handler)
    own.propagate = False
    own.setLevel(level.upper())
    root.setLevel(level.upper() if user_code else logging.WARNING)
    for name in (ROOT, *(f"{ROOT}.{part}" for part in PARTS)):
        logging.getLogger(name).__class__ = _StaysEnabled
    if user_code:
        _prepare_for_user_code(default)


def _prepare_for_user_code(default: logging.Handler) -> None:
    """Add the job to log records, make `basicConfig` work, and lose no output of a killed process.

    `basicConfig` does nothing if the root logger has a handler, and it has one of ours.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    if not isinstance(logging.getLogRecordFactory(), _RecordFactory):
        logging.setLogRecordFactory(_RecordFactory(logging.getLogRecordFactory()))
    configure = logging.basicConfig
    if isinstance(configure, _BasicConfig):
        configure = configure.configure
    logging.basicConfig = _BasicConfig(configure, default)


class _RecordFactory:
    """Makes log records with the id of the current job."""

    def __init__(self, make: Any) -> None:
        self._make = make

    def __call__(self, *args: Any, **options: Any) -> logging.LogRecord:
        record: logging.LogRecord = self._make(*args, **options)
        job = current_job.get()
        setattr(record, JOB_FIELD, "" if job is None else ids.text(job))
        return record


class _BasicConfig:
    """`logging.basicConfig`, whose handlers replace our one of the root logger; with nothing but a
    level that stays, and shows that level.
    """

    def __init__(self, configure: Callable[..., None], default: logging.Handler) -> None:
        self.configure = configure
        self._default = default

    def __call__(self, **options: Any) -> None:
        root = logging.getLogger()
        capturing = [each for each in root.handlers if isinstance(each, JobLogHandler)]
        for handler in capturing:
            root.removeHandler(handler)
        try:
            self._replace(root, options)
        finally:
            for handler in capturing:
                root.addHandler(handler)

    def _replace(self, root: logging.Logger, options: dict[str, Any]) -> None:
        default = self._default
        if options.keys() <= {"level"} and root.handlers in ([], [default]):
            root.handlers[:] = [default]
            if (level := options.get("level")) is not None:
                root.setLevel(level)
            return
        ours = default in root.handlers
        root.removeHandler(default)
        try:
            self.configure(**options)
        except BaseException:
            if ours:
                root.addHandler(default)
            raise


def log_uncaught() -> None:
    """Log warnings, and exceptions that nothing catches, instead of printing plain text."""
    log = logging.getLogger(ROOT)
    default = sys.excepthook

    def uncaught(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if issubclass(kind, Exception):
            log.critical("uncaught exception", exc_info=(kind, error, trace))
        else:
            default(kind, error, trace)

    def uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread is not None else "a thread"
        if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
            info = (args.exc_type, args.exc_value, args.exc_traceback)
            log.error("uncaught exception in %s", name, exc_info=info)

    sys.excepthook, threading.excepthook = uncaught, uncaught_in_thread
    logging.captureWarnings(capture=True)


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    found = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    job = getattr(record, JOB_FIELD, "")
    return {"job_id": job, **found} if job else found


def write_error(line: str) -> None:
    """Write an error that ends the process to stderr: a log record if the format is `json`."""
    log = logging.getLogger(ROOT)
    formatters = [handler.formatter for handler in log.handlers]
    if any(isinstance(each, JsonFormatter) and each.only for each in formatters):
        log.error("%s", line)
    else:
        sys.stderr.write(f"asyncendpoints: {line}\n")


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, `extra` fields, error.

    `only`: all of stderr is to be such lines.
    """

    def __init__(self, *, only: bool = False) -> None:
        super().__init__()
        self.only = only

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
    """One readable line, with short ids; the traceback of an exception follows it."""

    def __init__(self, colours: bool = False) -> None:
        super().__init__()
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text; control characters in a message cannot forge a line."""
        time = self.formatTime(record, "%H:%M:%S")
        fields = _extras(record)
        if "job_id" in fields:
            fields["job_id"] = str(fields["job_id"])[-ids.SHORT :]
        extras = "".join(f" {k}={v}" for k, v in fields.items() if k != "traceparent")
        name = record.name.removeprefix(f"{ROOT}.")
        message = one_line(record.getMessage() + extras)
        line = f"{time} {record.levelname.lower():7} {name}: {message}"
        if self._colours and (colour := _COLOURS.get(record.levelname)):
            line = f"{colour}{line}\x1b[0m"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line
