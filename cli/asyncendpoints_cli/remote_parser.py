"""The commands that use the operations API, as data for the parser."""

from __future__ import annotations

import argparse
import re
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from asyncendpoints_cli.command import Argument, Command, argument
from asyncendpoints_console.pages import sorting
from asyncendpoints_core.common.time_source import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable

STATES: Final = ("Queued", "Scheduled", "InProgress", "Completed", "Failed", "Canceled")
OUTPUTS: Final = ("table", "wide", "json", "yaml", "name")

SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def moment(text: str) -> str:
    """Return a time for the API: `2h` is two hours ago; a time with its zone stays as it is."""
    if ago := re.fullmatch(r"([0-9]{1,6})([smhd])", text, re.ASCII):
        return rfc3339(round((time.time() - int(ago[1]) * SECONDS[ago[2]]) * 1_000))
    if not re.match(r"[0-9]{4}-", text, re.ASCII):
        raise argparse.ArgumentTypeError(
            f"must be an age such as 30m, 2h or 7d, or a time such as 2026-01-31T08:00Z: {text!r}"
        )
    return text


ENDPOINT: Final = argument(
    "-e",
    "--endpoint",
    metavar="ENDPOINT",
    help="NAME or NAMESPACE/NAME of the endpoint; default: the only one",
)
CLUSTER: Final = (
    argument(
        "-n",
        "--namespace",
        metavar="NAMESPACE",
        help="an endpoint in this namespace of a cluster, reached by kubectl",
    ),
    argument("--context", metavar="NAME", help="the cluster: a context of kubectl's configuration"),
)
_output = partial(argument, "-o", "--output", choices=OUTPUTS, metavar="FORMAT")
OUTPUT: Final = _output(default="table", help="table, wide, json, yaml or name; default: table")
CHANGED: Final = _output(
    help="what is printed of the change: table, wide, json, yaml or name (ids, the default)"
)
PAUSED: Final = _output(
    help="print the endpoint as it then is: table, wide, json, yaml or name; default: a sentence"
)
FILTERS: Final = (
    argument(
        "--state", choices=STATES, metavar="STATE", help=f"only jobs in it: {', '.join(STATES)}"
    ),
    argument("--job", metavar="NAME", help="only jobs of this name"),
    argument(
        "--tag",
        action="append",
        metavar="TAG",
        help="only jobs with this tag; repeated: with all of them",
    ),
    argument("--key", metavar="KEY", help="only jobs with this key"),
    argument("--error", metavar="CODE", help="only jobs whose error has this code"),
    argument("--schedule", metavar="NAME", help="only jobs of this schedule"),
    argument(
        "--since",
        type=moment,
        metavar="TIME",
        help="only jobs created since: 30m, 2h, 7d ago, or a time",
    ),
    argument("--until", type=moment, metavar="TIME", help="only jobs created before, as --since"),
)
LIMIT: Final = argument(
    "--limit", type=int, default=50, metavar="N", help="show at most N jobs; default: 50"
)


def _sorting(columns: Iterable[str], what: str = "") -> tuple[Argument, Argument]:
    names = tuple(columns)
    text = f"sort {what}by one of {', '.join(names)}"
    return (
        argument("--sort", choices=names, metavar="COLUMN", help=text),
        argument("--reverse", action="store_true", help="with --sort: the other way round"),
    )


IDS: Final = argument(
    "ids", nargs="*", metavar="ID", help="ids of jobs, or the ends of ids that tables show"
)
ALL: Final = argument("--all", action="store_true", help="all jobs of the endpoint")
YES: Final = argument(
    "-y",
    "--yes",
    action="store_true",
    help="do not ask before acting on several jobs; needs -e or --url",
)
ACTED_ON: Final = (*FILTERS, ALL, YES, CHANGED)
WHERE: Final = (
    "Without --url, the `asyncendpoints run` of this user on this machine is used. With it, the "
    "token is that of the environment. With -n or --context, the endpoint is in a cluster: kubectl "
    "reads its token and forwards a port. A change of several jobs asks first."
)


def _jobs(
    action: str, summary: str, description: str, examples: tuple[str, ...], *arguments: Argument
) -> Command:
    return Command(
        name=f"jobs {action}",
        summary=summary,
        description=description,
        arguments=(*arguments, ENDPOINT, *CLUSTER),
        settings="jobs",
        examples=tuple((f"asyncendpoints jobs {action}{example}", "") for example in examples),
        notes=(WHERE,),
    )


ONE_JOB: Final = argument("--job", metavar="NAME", help="only jobs of this name")


def _queue(action: str, summary: str, description: str, *arguments: Argument) -> Command:
    return Command(
        name=f"queue {action}",
        summary=summary,
        description=description,
        arguments=(*arguments, ENDPOINT, *CLUSTER),
        settings="jobs",
        examples=((f"asyncendpoints queue {action}", ""),),
    )


GROUPS: Final = {
    "jobs": "show and manage the jobs of a running endpoint",
    "queue": "show the state of running endpoints, pause and resume them",
}

REMOTE: Final = (
    _jobs(
        "list",
        "list jobs",
        "Lists jobs: running ones, waiting ones, then final ones, the newest first.",
        ("", " --state Failed -o wide", " --job build-report --limit 1000 -o json"),
        *FILTERS,
        LIMIT,
        *_sorting(sorting.JOBS, "the newest --limit jobs "),
        OUTPUT,
    ),
    _jobs(
        "get",
        "show jobs with their attempts",
        "Shows jobs in detail: times, attempts, errors, request.",
        (" 6dd2c2b4",),
        argument("ids", nargs="+", metavar="ID", help="ids of jobs, or the ends of ids"),
        OUTPUT,
    ),
    _jobs(
        "watch",
        "follow jobs with their progress",
        "Follows the given jobs until all are final, or the jobs that match until Ctrl-C. On a "
        "terminal it is a table that changes, else a line for each change: with -o json the job as "
        "an object, with -o name its id.",
        (" 6dd2c2b4", " --state InProgress", " 6dd2c2b4 -o json"),
        IDS,
        *FILTERS,
        LIMIT,
        OUTPUT,
    ),
    _jobs(
        "logs",
        "show what the handler of a job has logged",
        "Shows the logs of a job, attempt by attempt. They are kept where the endpoint has "
        "`worker.logs`.",
        (" 6dd2c2b4", " 6dd2c2b4 -f", " 6dd2c2b4 --attempt 2"),
        argument("id", metavar="ID", help="id of the job, or its end"),
        argument("--attempt", type=int, metavar="N", help="of this attempt only"),
        argument("-f", "--follow", action="store_true", help="go on until the job is final"),
    ),
    _jobs(
        "result",
        "write the result of a job",
        "Writes the result of a job to standard output or to a file. Binary results are not "
        "written to a terminal.",
        (" 6dd2c2b4", " 6dd2c2b4 --file report.pdf"),
        argument("id", metavar="ID", help="id of the job, or its end"),
        argument("--file", metavar="FILE", help="write it to this file"),
    ),
    *(
        _jobs(action, summary, description, (" 6dd2c2b4", example), IDS, *ACTED_ON)
        for action, summary, description, example in (
            (
                "cancel",
                "cancel jobs",
                "Cancels waiting jobs, and asks workers to stop running ones.",
                " --job build-report --state Scheduled",
            ),
            (
                "retry",
                "run Failed or Canceled jobs again",
                "Queues Failed or Canceled jobs again, with new attempts and the same input.",
                " --state Failed --error handler-error --since 2h",
            ),
            (
                "purge",
                "remove final jobs now",
                "Removes final jobs with their results before their retention ends.",
                " --state Failed --yes -e reports",
            ),
        )
    ),
    _queue(
        "show",
        "show the number of jobs in each state",
        "Shows the number of jobs in each state, the age of the oldest that waits, and the "
        "workers, of one endpoint or of all.",
        *_sorting(sorting.OVERVIEW),
        OUTPUT,
    ),
    _queue(
        "workers",
        "list workers",
        "Lists the registered workers with the jobs that they run.",
        *_sorting(sorting.WORKERS),
        OUTPUT,
    ),
    _queue(
        "failures",
        "group failures by job and error",
        "Groups final failures by job and error code, the most frequent first.",
        *_sorting(sorting.FAILURES),
        OUTPUT,
    ),
    _queue(
        "pause",
        "accept jobs but run none",
        "Pauses an endpoint: jobs are accepted and wait, running ones finish, and times to live do "
        "not run. It lasts until `queue resume`, also when processes restart. With --job that is "
        "so for the jobs of one name, and the others run.",
        ONE_JOB,
        PAUSED,
    ),
    _queue(
        "resume",
        "run jobs again",
        "Ends the pause of an endpoint, or with --job that of one job. Neither ends the other.",
        ONE_JOB,
        PAUSED,
    ),
    Command(
        name="console",
        summary="open the console of a running endpoint in a browser",
        description="Opens the console in a browser, logged in by a link that works once, and "
        "prints that link. For an endpoint of a cluster it goes on until Ctrl-C, which closes the "
        "connection.",
        arguments=(
            argument("--no-browser", action="store_true", help="print the link only"),
            ENDPOINT,
            *CLUSTER,
        ),
        settings="jobs",
        examples=(
            ("asyncendpoints console", "that of the `run` on this machine"),
            ("asyncendpoints console -n shop -e reports", "of an endpoint in a cluster"),
        ),
        notes=(WHERE,),
    ),
    Command(
        name="completion",
        summary="print a script that completes this command in a shell",
        description="Prints a script by which bash, zsh or fish completes commands and options.",
        arguments=(
            argument(
                "shell", choices=("bash", "zsh", "fish"), metavar="SHELL", help="bash, zsh or fish"
            ),
        ),
        examples=(
            ("source <(asyncendpoints completion bash)", "in ~/.bashrc, or with zsh in ~/.zshrc"),
            ("asyncendpoints completion fish | source", "in ~/.config/fish/config.fish"),
        ),
    ),
)
