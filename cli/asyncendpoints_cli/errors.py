"""What the command line reports of an error: lines on stderr, without passwords, and a status."""

from __future__ import annotations

import re
from typing import Final

from asyncendpoints_core.common.faults import one_line
from asyncendpoints_core.common.redaction import redact_url
from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.process.logs import write_error

FAILED: Final = 1
MISUSED: Final = 2
INTERRUPTED: Final = 130


class AlreadyReported(UsageError):
    """An error that another process has written to stderr already."""


def report(error: BaseException, status: int) -> int:
    """Write each line of an error to stderr or the log, passwords redacted; return `status`."""
    if isinstance(error, AlreadyReported):
        return status
    for line in str(error).splitlines() or [type(error).__name__]:
        write_error(redact(one_line(line)))
    return status


def redact(line: str) -> str:
    """Return a line with the passwords of the URLs in it as ***."""
    return re.sub(r"\S+://\S+", lambda url: redact_url(url[0]), line)
