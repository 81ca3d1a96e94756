"""The command line as data: every command, its options and its examples.

Options that are settings come from `asyncendpoints_core.process.settings`, so that a flag, its
variable and its description exist once. docs/cli.md is generated from here.
"""

import argparse
import difflib
import re
import textwrap
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from asyncendpoints_core import __version__
from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.process.settings import Setting, all_settings

PROG: Final = "asyncendpoints"
WIDTH: Final = 78


@dataclass(frozen=True)
class Command:
    """One command: what it is for, what its own arguments are, and how it is used."""

    name: str
    summary: str
    description: str
    examples: tuple[tuple[str, str], ...]
    arguments: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = ()
    settings: str = ""
    notes: tuple[str, ...] = ()


def _argument(*names: str, **options: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    return names, options


FILES: Final = _argument(
    "files", nargs="+", metavar="FILE", help="YAML file with one or more AsyncEndpoint resources"
)
KUBECONFIG: Final = _argument(
    "--kubeconfig",
    metavar="PATH",
    help="the cluster's kubeconfig; default: that of the pod this runs in, else $KUBECONFIG, else "
    "~/.kube/config",
)
CONTEXT: Final = _argument("--context", metavar="NAME", help="context of the kubeconfig to use")

COMMANDS: Final = (
    Command(
        name="run",
        summary="serve endpoints on this machine: gateway, workers, everything",
        description="Serves every endpoint of the files on this machine: an HTTP gateway, and "
        "workers scaled between minReplicas and maxReplicas by the jobs that wait and run.",
        arguments=(FILES,),
        settings="run",
        examples=(
            ("asyncendpoints run endpoint.yaml", "everything in this process, jobs in memory"),
            (
                "asyncendpoints run endpoint.yaml --redis redis://127.0.0.1:6379/0",
                "jobs in Redis, workers as processes of their own",
            ),
            ("asyncendpoints run *.yaml --port 0 --reload", "several, on free ports, reloading"),
            (
                "asyncendpoints run node.yaml --http-target http://127.0.0.1:3000/jobs",
                "handlers in another language, behind HTTP",
            ),
        ),
        notes=(
            "Each endpoint has a port of its own (--port, the next, …) and one line on stdout when "
            "it is ready; logs are on stderr. The module of worker.handlers is looked for in the "
            "folder of its file.",
            "Ctrl-C lets running jobs finish; a second one ends them. Without --redis the jobs are "
            "in memory, and what is not finished is gone when the process ends.",
            "At least one worker stays, unless spec.replicas is 0 or spec.suspend is true.",
            "With --reload the files are watched, and every Python file in their folders: changed "
            "code and resources count within seconds, endpoints that were added are served, those "
            "that were taken out are ended. A file with a fault changes nothing.",
        ),
    ),
    Command(
        name="gateway",
        summary="serve one endpoint's HTTP side",
        description="Serves the HTTP side of one endpoint: it answers 202, and tells how jobs are "
        "doing. It runs no jobs; `asyncendpoints worker` does.",
        settings="gateway",
        examples=(
            (
                "asyncendpoints gateway --endpoint endpoint.yaml --redis redis://127.0.0.1:6379/0",
                "",
            ),
            (
                "asyncendpoints gateway --endpoint endpoint.yaml --host 0.0.0.0",
                "with $ASYNCENDPOINTS_REDIS_URL_FILE",
            ),
        ),
    ),
    Command(
        name="worker",
        summary="run one endpoint's jobs",
        description="Runs the jobs of one endpoint until it is told to end: SIGTERM lets running "
        "jobs finish and hands back the rest.",
        settings="worker",
        arguments=(
            # Given by `run` to the workers it starts: they drain when it ends, however it ends,
            # and find the handlers beside the user's file rather than the copy they are given.
            # One of them only looks whether every route has a handler.
            _argument("--end-with", type=int, metavar="FD", help=argparse.SUPPRESS),
            _argument("--folder", metavar="DIR", help=argparse.SUPPRESS),
            _argument("--figures", metavar="FILE", help=argparse.SUPPRESS),
            _argument("--check", action="store_true", help=argparse.SUPPRESS),
        ),
        examples=(
            (
                "asyncendpoints worker --endpoint endpoint.yaml --redis redis://127.0.0.1:6379/0",
                "",
            ),
            (
                "asyncendpoints worker --endpoint endpoint.yaml --admin-port 9090",
                "with probes and metrics",
            ),
        ),
    ),
    Command(
        name="operator",
        summary="make AsyncEndpoint resources of a cluster real",
        description="Watches the AsyncEndpoint resources of a Kubernetes cluster and keeps their "
        "gateways and workers. Needs: pip install 'asyncendpoints[operator]'.",
        settings="operator",
        arguments=(KUBECONFIG, CONTEXT),
        examples=(
            ("asyncendpoints operator", "in a pod, as the chart starts it"),
            (
                "asyncendpoints operator --kubeconfig ~/.kube/config",
                "from a laptop; it takes part in the same leader election",
            ),
        ),
    ),
    Command(
        name="validate",
        summary="say everything that is wrong with files",
        description="Checks files without running anything and prints every fault with its file, "
        "line, column and field. Exit status 0: all is well; 2: it is not.",
        arguments=(
            FILES,
            _argument(
                "--cluster",
                action="store_true",
                help="check what a cluster asks for as well, such as worker.image",
            ),
        ),
        examples=(
            ("asyncendpoints validate endpoint.yaml", ""),
            ("asyncendpoints validate --cluster deploy/*.yaml", "as `kubectl apply` would"),
        ),
    ),
    Command(
        name="unpin",
        summary="give a scaled resource of a cluster back to autoscaling",
        description="Removes spec.replicas, which `kubectl scale` has written, from an "
        "AsyncEndpoint, so that it is scaled by its jobs again. "
        "Needs: pip install 'asyncendpoints[operator]'.",
        arguments=(
            _argument("name", metavar="NAME", help="name of the AsyncEndpoint"),
            _argument(
                "-n",
                "--namespace",
                default=None,
                metavar="NAME",
                help="its namespace; default: that of the context",
            ),
            KUBECONFIG,
            CONTEXT,
        ),
        examples=(
            ("kubectl scale aep/reports --replicas=3", "pins it at 3"),
            ("asyncendpoints unpin reports", "lets it scale by its jobs again"),
        ),
    ),
)


class Parser(argparse.ArgumentParser):
    """An argparse parser that ends with UsageError instead of a usage text and an exit."""

    def error(self, message: str) -> NoReturn:
        """Raise what `main` prints as one line; `message` is argparse's."""
        raise UsageError(f"{self._mended(message)} (see {self.prog} --help)")

    def _mended(self, message: str) -> str:
        """Say in our words what argparse found, with what was probably meant."""
        if wrong := re.match(r"unrecognized arguments: (\S+)", message):
            name = wrong[1].partition("=")[0]
            if not name.startswith("-"):
                return f"what is {name!r} for?"
            known = [option for action in self._actions for option in action.option_strings]
            return f"there is no option {name}{_guess(name, known)}"
        if wrong := re.match(r"argument COMMAND: invalid choice: '(.*?)'", message):
            return f"there is no command {wrong[1]}{_guess(wrong[1], [c.name for c in COMMANDS])}"
        return message

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; options nobody knows are the command's fault to report, not the program's."""
        parsed, rest = self.parse_known_args(args, namespace)
        if rest:
            getattr(parsed, "parser", self).error(f"unrecognized arguments: {' '.join(rest)}")
        return parsed


def _guess(wrong: str, known: list[str]) -> str:
    close = difflib.get_close_matches(wrong, known, 1)
    return f"; did you mean {close[0]}?" if close else ""


def build() -> Parser:
    """Return the parser of the whole command line; it sets `command` and `parser`."""
    parser = Parser(
        prog=PROG,
        description="HTTP requests answered 202 at once, and done as jobs by workers that scale.",
        epilog=_epilog(
            (
                ("asyncendpoints run endpoint.yaml", "serve it here, jobs in memory"),
                ("asyncendpoints validate endpoint.yaml", "say what is wrong with it"),
                ("asyncendpoints COMMAND --help", "more about one command"),
            ),
            (
                "Exit status: 0 drained, 1 runtime failure (a port, Redis), 2 a bad file, option, "
                "module or handler, 130 ended by a second Ctrl-C.",
            ),
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", title="commands")
    for command in COMMANDS:
        _add(commands, command)
    return parser


def _add(commands: Any, command: Command) -> None:
    parser = commands.add_parser(
        command.name,
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
        options["metavar"] = metavar(about.kind, about.flag)
    parser.add_argument(about.flag, **options)


def metavar(kind: str, flag: str) -> str:
    """Return what stands for a setting's value in help and docs."""
    by_kind = {"number": "PORT", "path": "FILE", "url": "URL", "choice": "LEVEL"}
    return by_kind.get(kind, flag.removeprefix("--").upper())


def _epilog(examples: tuple[tuple[str, str], ...], notes: tuple[str, ...] = ()) -> str:
    lines = ["examples:"]
    for example, meaning in examples:
        lines += [f"  {example}", *([f"      {meaning}"] if meaning else [])]
    for note in notes:
        lines += ["", *textwrap.wrap(note, WIDTH)]
    return "\n".join(lines)
