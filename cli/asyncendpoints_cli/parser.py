"""The command line as data: the commands with their options and examples.

Options that are settings come from `asyncendpoints_core.process.settings`, which defines flag,
variable and description once. docs/cli.md is generated from this module.
"""

import argparse
import textwrap
from collections.abc import Iterable
from typing import Any, Final

from asyncendpoints_cli.argument_parser import Parser
from asyncendpoints_cli.command import Command
from asyncendpoints_cli.local_parser import LOCAL
from asyncendpoints_cli.remote_parser import GROUPS, REMOTE
from asyncendpoints_core import __version__
from asyncendpoints_core.process.settings import Setting, all_settings

PROG: Final = "asyncendpoints"
KUBECTL_PROG: Final = "kubectl aep"
WIDTH: Final = 78

COMMANDS: Final = (*LOCAL, *REMOTE)

MINIMAL: Final = """\
A minimal endpoint.yaml, with its handlers in jobs.py beside it:

  apiVersion: asyncendpoints.io/v1alpha1
  kind: AsyncEndpoint
  metadata: {name: hello}
  spec:
    routes:
      - {path: /hello, job: hello}
    worker: {handlers: jobs}

  from asyncendpoints import handler

  @handler("hello")
  async def hello(body: dict) -> str:
      return f"Hello, {body['name']}!"

After `asyncendpoints run endpoint.yaml`, http://127.0.0.1:8080/docs explains it."""


def build() -> Parser:
    """Return the parser of the command line; it sets `command` and `parser`."""
    parser = Parser(
        prog=PROG,
        description="Accepts HTTP requests with 202 and runs them as jobs on autoscaled workers.",
        epilog=_epilog(
            (
                ("asyncendpoints run endpoint.yaml", "serve it locally, jobs in memory"),
                ("asyncendpoints validate endpoint.yaml", "check it for faults"),
                ("asyncendpoints COMMAND --help", "help for one command"),
            ),
            (
                "Exit status: 0 drained, 1 runtime failure (a port, Redis), 2 an invalid file, "
                "option, module or handler, 130 aborted by a second Ctrl-C.",
            ),
            MINIMAL,
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_commands(parser, COMMANDS)
    parser.set_defaults(kubectl=False)
    return parser


def build_kubectl() -> Parser:
    """Return the parser of `kubectl aep`, whose commands are those for a running endpoint."""
    parser = Parser(
        prog=KUBECTL_PROG,
        description="Shows and manages the jobs of an AsyncEndpoint in the cluster and namespace "
        "of kubectl's context.",
        epilog=_epilog(
            (
                ("kubectl aep queue show -e reports", "queued, running and failed jobs"),
                ("kubectl aep jobs list --state Failed", "of the only endpoint of the namespace"),
                ("kubectl aep console -n shop -e reports", "its console in a browser"),
            ),
            ("Options of kubectl follow `aep`: kubectl aep jobs list -n shop --context prod.",),
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_commands(parser, [command for command in REMOTE if command.settings == "jobs"])
    parser.set_defaults(kubectl=True)
    return parser


def _add_commands(parser: Parser, added: Iterable[Command]) -> None:
    parser.add_argument("--version", action="version", version=f"{parser.prog} {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", title="commands")
    groups = {name: _add_group(commands, name) for name in GROUPS}
    for command in added:
        group, _, action = command.name.rpartition(" ")
        parser.known_commands.append(group or action)
        _add(groups.get(group, commands), command, action)


def _add_group(commands: Any, name: str) -> Any:
    """Add a command that has commands of its own; return where they are added."""
    parser = commands.add_parser(
        name, help=GROUPS[name], description=GROUPS[name].capitalize() + ".", allow_abbrev=False
    )
    parser.set_defaults(parser=parser, action=None)
    return parser.add_subparsers(metavar="COMMAND", dest="action", title="commands")


def _add(commands: Any, command: Command, name: str) -> None:
    parser = commands.add_parser(
        name,
        help=command.summary,
        description=textwrap.fill(command.description, WIDTH),
        epilog=_epilog(command.examples, command.notes),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(parser=parser)
    for names, options in command.arguments:
        parser.add_argument(*names, **options)
    for setting in all_settings():
        if command.settings in setting.about.readers.split() and setting.about.flag:
            _add_setting(parser, setting)


def _add_setting(parser: argparse.ArgumentParser, setting: Setting) -> None:
    about = setting.about
    options: dict[str, Any] = {
        "dest": setting.name,
        "default": None,
        "help": f"{about.description} Default: {setting.default_text}. [{setting.env}]".replace(
            "%", "%%"
        ),
    }
    if about.kind == "switch":
        options["action"] = "store_true"
    else:
        if about.kind in ("names", "addresses"):
            options["action"] = "append"
        options["metavar"] = metavar(about.kind, about.flag)
    parser.add_argument(about.flag, **options)


def metavar(kind: str, flag: str) -> str:
    """Return the placeholder of a setting's value in help and docs."""
    by_kind = {
        "number": "PORT",
        "path": "FILE",
        "url": "URL",
        "choice": "LEVEL",
        "host": "HOST",
        "names": "HOST",
        "addresses": "HOST:PORT",
    }
    return by_kind.get(kind, flag.removeprefix("--").upper())


def _epilog(
    examples: tuple[tuple[str, str], ...], notes: tuple[str, ...] = (), verbatim: str = ""
) -> str:
    lines = ["examples:"]
    for example, meaning in examples:
        lines += [f"  {example}", *([f"      {meaning}"] if meaning else [])]
    for note in notes:
        lines += ["", *textwrap.wrap(note, WIDTH)]
    if verbatim:
        lines += ["", verbatim]
    return "\n".join(lines)
