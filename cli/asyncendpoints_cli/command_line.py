"""The commands behind the entry points: parses the command line and starts one role.

Every error is one line on stderr and an exit status: 0 drained, 1 runtime failure, 2 a bad file,
option, module or handler, 130 ended by a second Ctrl-C.
"""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

from asyncendpoints_cli.complete import complete
from asyncendpoints_cli.early import obey_interrupts
from asyncendpoints_cli.errors import FAILED, INTERRUPTED, MISUSED, report
from asyncendpoints_cli.parser import build, build_kubectl
from asyncendpoints_core.errors import AsyncEndpointsError, UsageError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Sequence

    from asyncendpoints_cli.argument_parser import Parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: the process's own) and return its exit status."""
    words = sys.argv[1:] if argv is None else argv
    if list(words[:2]) == ["completion", "words"]:  # anything may follow, such as `--`
        return complete(words[3:], build())
    return _run(words, build())


def kubectl(argv: Sequence[str] | None = None) -> int:
    """Run `kubectl aep …`: the commands for a running endpoint, of one in kubectl's cluster."""
    return _run(sys.argv[1:] if argv is None else argv, build_kubectl())


def complete_kubectl(argv: Sequence[str] | None = None) -> int:
    """Complete `kubectl aep …`, as kubectl expects it of `kubectl_complete-aep`."""
    complete(sys.argv[1:] if argv is None else argv, build_kubectl())
    sys.stdout.write(":4\n")  # no file names (cobra's ShellCompDirectiveNoFileComp)
    return 0


def _run(words: Sequence[str], parser: Parser) -> int:
    try:
        options = parser.parse_args(words)
        if options.command is None:
            parser.print_help(sys.stderr)
            return MISUSED
        gc.disable()  # a tenth of the time of the imports, which make hardly any garbage
        try:
            execute = command(options.command)
        finally:
            gc.enable()
        obey_interrupts()
        return execute(options)
    except UsageError as error:
        return report(error, MISUSED)
    except (AsyncEndpointsError, OSError) as error:
        return report(error, FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED


def command(name: str) -> Callable[[Namespace], int]:
    """Return the function of a command; only its module is imported, which takes up to a second."""
    match name:
        case "run":
            from asyncendpoints_cli.commands.run import execute
        case "gateway":
            from asyncendpoints_cli.commands.gateway import execute
        case "worker":
            from asyncendpoints_cli.commands.worker import execute
        case "operator":
            from asyncendpoints_cli.commands.operator import execute
        case "validate":
            from asyncendpoints_cli.commands.validate import execute
        case "init":
            from asyncendpoints_cli.commands.init import execute
        case "export":
            from asyncendpoints_cli.commands.export import execute
        case "webhook-secret":
            from asyncendpoints_cli.commands.webhook_secret import execute
        case "unpin":
            from asyncendpoints_cli.commands.unpin import execute
        case "jobs":
            from asyncendpoints_cli.commands.jobs import execute
        case "queue":
            from asyncendpoints_cli.commands.queue import execute
        case "console":
            from asyncendpoints_cli.commands.console import execute
        case "completion":
            from asyncendpoints_cli.commands.completion import execute
        case _:
            raise UsageError(f"unknown command {name}")
    return execute
