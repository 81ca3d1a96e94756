"""Entry point of the `asyncendpoints` command: parses the command line and starts one role.

Whatever goes wrong is one line on stderr and an exit status: 0 drained, 1 runtime failure, 2 a bad
file, option, module or handler, 130 ended by a second Ctrl-C.
"""

from __future__ import annotations

import importlib
import re
import sys
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_cli.parser import PROG, build
from asyncendpoints_core.common.faults import one_line
from asyncendpoints_core.errors import AsyncEndpointsError, UsageError
from asyncendpoints_core.process import settings

if TYPE_CHECKING:
    from collections.abc import Sequence

FAILED: Final = 1
MISUSED: Final = 2
INTERRUPTED: Final = 130

# Where each command's `execute(options) -> int` is: imported only when it is asked for.
MODULES: Final = {
    "run": "asyncendpoints_cli.commands.run",
    "gateway": "asyncendpoints_cli.commands.gateway",
    "worker": "asyncendpoints_cli.commands.worker",
    "operator": "asyncendpoints_cli.commands.operator",
    "validate": "asyncendpoints_cli.commands.validate",
    "unpin": "asyncendpoints_cli.commands.unpin",
}


class Told(UsageError):
    """A fault that another process has shown already."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: the process's own) and return its exit status."""
    try:
        parser = build()
        options = parser.parse_args(argv)
        if options.command is None:
            parser.print_help(sys.stderr)
            return MISUSED
        return _execute(options)
    except UsageError as error:
        return complain(error, MISUSED)
    except (AsyncEndpointsError, OSError) as error:
        return complain(error, FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED


def _execute(options: Any) -> int:
    """Import the command's module and run it."""
    status = importlib.import_module(MODULES[options.command]).execute(options)
    return int(status)


def complain(error: BaseException, status: int) -> int:
    """Print an error, a line for each of its lines and with no password in it; return `status`."""
    if isinstance(error, Told):
        return status
    for line in str(error).splitlines() or [type(error).__name__]:
        sys.stderr.write(f"{PROG}: {redact(one_line(line))}\n")
    return status


def redact(line: str) -> str:
    """Return a line with the passwords of the URLs in it as ***."""
    return re.sub(r"\S+://\S+", lambda url: settings.redact_url(url[0]), line)
