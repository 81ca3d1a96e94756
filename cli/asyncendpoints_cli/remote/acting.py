"""What the commands under `jobs` and `queue` change, with an endpoint and the options given."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_cli.remote.client import ApiError
from asyncendpoints_cli.remote.output import show, write
from asyncendpoints_cli.remote.showing import JOBS, filters, show_endpoints, whole_ids
from asyncendpoints_cli.remote.text import escaped
from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.actions import ActionKind, states_of

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping, Sequence

    from asyncendpoints_cli.remote.client import Endpoint

LISTED: Final = 100
"""More jobs than this are changed by one action of the console, not one by one."""
FOLLOW_SECONDS: Final = 0.2


def set_paused(endpoint: Endpoint, options: Namespace) -> None:
    """`queue pause`, `queue resume`."""
    sent = None if options.job is None else {"job": options.job}
    shown = endpoint.change("POST", f"/{options.action}", sent)
    if options.output is not None:
        show_endpoints([shown], options.output)
        return
    word = "paused" if options.action == "pause" else "resumed"
    of = "" if options.job is None else f"{escaped(options.job)} of "
    sys.stdout.write(f"{word} {of}{endpoint.key} at {endpoint.client.place}\n")


def act(endpoint: Endpoint, options: Namespace) -> int:
    """`jobs cancel`, `jobs retry`, `jobs purge`; return the exit status."""
    method, suffix, word = {
        "cancel": ("POST", "/cancel", "cancel"),
        "retry": ("POST", "/retry", "retry"),
        "purge": ("DELETE", "", "purge"),
    }[options.action]
    chosen = _chosen(endpoint, options)
    if chosen is None:
        return _act_on_all(endpoint, options)
    if len(chosen) > 1:
        _confirm(f"{word} {len(chosen)} jobs of {endpoint.key} at {endpoint.client.place}", options)
    changed: list[dict[str, Any]] = []
    errors: list[dict[str, str]] = []
    for job_id in chosen:
        try:
            changed.append(endpoint.change(method, f"/jobs/{job_id}{suffix}"))
        except ApiError as error:
            if not error.code or error.code in ("unauthorized", "forbidden", "not-found"):
                raise
            errors.append({"id": job_id, "code": error.code, "message": str(error)})
            sys.stderr.write(f"{job_id}: {escaped(str(error))}\n")
        else:
            if options.output in (None, "name"):
                sys.stdout.write(f"{job_id}\n")
    match options.output:
        case "json" | "yaml" as form:
            write(_outcome(endpoint, word, len(chosen), changed, errors), form)
        case "table" | "wide" as form if word != "purge":
            show(changed, JOBS, form, "id", "")
    sys.stderr.write(f"{word}: {len(changed)} of {len(chosen)} jobs of {endpoint.key}\n")
    return 1 if errors else 0


def _outcome(
    endpoint: Endpoint,
    action: str,
    matched: int,
    jobs: Sequence[Mapping[str, Any]],
    errors: Sequence[Mapping[str, str]],
) -> dict[str, Any]:
    """Return what became of jobs that were changed one by one, for scripts."""
    counts = {"matched": matched, "done": len(jobs), "skipped": len(errors)}
    named = {"action": action, "endpoint": endpoint.key}
    return {**named, **counts, "jobs": list(jobs), "errors": list(errors)}


def _chosen(endpoint: Endpoint, options: Namespace) -> list[str] | None:
    """Return the ids of the jobs to act on: those given, or those that match the filters; None for
    more than are listed.
    """
    wanted = filters(options)
    given = any(wanted.values())
    if options.ids and (given or options.all):
        raise UsageError("name jobs by their ids, or by filters, not both")
    if options.ids:
        return whole_ids(endpoint, options.ids)
    if not given and not options.all:
        raise UsageError("which jobs? give ids, filters such as --state Failed, or --all")
    found: list[str] = []
    for state in _states(options):  # as an action on many jobs would take them
        left = LISTED + 1 - len(found)
        found += [job["id"] for job in endpoint.jobs({**wanted, "state": state}, left)]
    if not found:
        raise UsageError("no job matches")
    return found if len(found) <= LISTED else None


def _states(options: Namespace) -> tuple[State, ...]:
    """Return the states whose jobs the action takes. Raises UsageError."""
    state = State(options.state) if options.state else None
    try:
        return states_of(ActionKind(options.action), state)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _act_on_all(endpoint: Endpoint, options: Namespace) -> int:
    """Act on all jobs that match, by one action of the console; return the exit status."""
    word = options.action
    given = {name: value for name, value in filters(options).items() if value}
    wanted = {"action": word, "filter": given, "all": options.all}
    count = _carried_out(endpoint, {**wanted, "dryRun": True})["matched"]
    if not count:
        raise UsageError("no job matches")
    _confirm(f"{word} {count} jobs of {endpoint.key} at {endpoint.client.place}", options)
    ended = _carried_out(endpoint, wanted)
    done, skipped = ended["done"], ended["skipped"]
    if options.output in ("json", "yaml"):
        counts = {name: ended[name] for name in ("matched", "done", "skipped")}
        named = {"action": word, "endpoint": endpoint.key}
        write({**named, **counts, "jobs": None, "errors": []}, options.output)
    left = f", {skipped} skipped" if skipped else ""
    sys.stderr.write(f"{word}: {done} of {ended['matched']} jobs of {endpoint.key}{left}\n")
    return 0 if ended["state"] == "Done" and not skipped else 1


def _carried_out(endpoint: Endpoint, wanted: Mapping[str, object]) -> dict[str, Any]:
    """Begin an action and follow it to its end; an interrupt aborts it."""
    action = endpoint.change("POST", "/actions", wanted)
    path = f"/actions/{action['id']}"
    try:
        while action["state"] == "Running":
            if sys.stderr.isatty():
                room = ", waits for room in the queue" if action["waitingForRoom"] else ""
                found = action["matched"] if action["dryRun"] else action["done"]
                sys.stderr.write(f"\r\x1b[K{wanted['action']}: {found} jobs{room}")
                sys.stderr.flush()
            time.sleep(FOLLOW_SECONDS)
            action = endpoint.get(path)
    except KeyboardInterrupt:
        endpoint.change("DELETE", path)
        raise
    finally:
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")
    return dict(action)


def _confirm(action: str, options: Namespace) -> None:
    """Ask before acting on more than one job. Raises UsageError unless the answer is yes."""
    if options.yes:
        # A URL from the environment is not seen where the command is typed.
        if options.endpoint is None and options.console_url is None:
            raise UsageError("--yes needs -e ENDPOINT or --url URL, so that the target is certain")
        return
    if not sys.stdin.isatty():
        raise UsageError(f"to {action} without confirmation, give --yes and -e ENDPOINT")
    sys.stderr.write(f"{action}? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was changed")
