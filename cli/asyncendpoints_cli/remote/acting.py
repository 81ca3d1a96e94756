"""What the commands under `jobs` and `queue` change, with an endpoint and the options given."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
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
    from collections.abc import Mapping

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
    sys.stdout.write(f"{word} {of}{endpoint.key} at {endpoint.client.location}\n")


def act(endpoint: Endpoint, options: Namespace) -> int:
    """`jobs cancel`, `jobs retry`, `jobs purge`; return the exit status."""
    word = options.action
    method, suffix = ("DELETE", "") if word == "purge" else ("POST", f"/{word}")
    chosen = _chosen(endpoint, options)
    if chosen is None:
        return _act_on_all(endpoint, options)
    if len(chosen) > 1:
        where = f"{endpoint.key} at {endpoint.client.location}"
        _confirm(f"{word} {len(chosen)} jobs of {where}", options)
    outcome = _Outcome(endpoint.key, word, len(chosen))
    try:
        for job_id in chosen:
            changed = _act_on_one(endpoint, method, job_id, suffix, outcome)
            if changed and options.output in (None, "name"):
                sys.stdout.write(f"{job_id}\n")
        outcome.state = "Done"
    finally:  # what was changed is printed also if the others cannot be
        outcome.print(options.output)
    return 1 if outcome.errors else 0


@dataclass
class _Outcome:
    """What became of jobs that are changed one by one. `state` as that of an action."""

    endpoint: str
    action: str
    matched: int
    state: str = "Aborted"
    jobs: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)

    def print(self, form: str | None) -> None:
        """Print the outcome so far."""
        match form:
            case "json" | "yaml":
                counts = {"done": len(self.jobs), "skipped": len(self.errors)}
                named = {"action": self.action, "endpoint": self.endpoint, "state": self.state}
                listed = {"jobs": self.jobs, "errors": self.errors}
                write({**named, "matched": self.matched, **counts, **listed}, form)
            case "table" | "wide" if self.jobs and self.action != "purge":
                show(self.jobs, JOBS, form, "id", "")
        done = f"{len(self.jobs)} of {self.matched} jobs of {self.endpoint}"
        sys.stderr.write(f"{self.action}: {done}\n")


def _act_on_one(
    endpoint: Endpoint, method: str, job_id: str, suffix: str, outcome: _Outcome
) -> bool:
    """Return whether the job was changed, and note what became of it. Raises ApiError where the
    others cannot be changed either.
    """
    try:
        outcome.jobs.append(endpoint.change(method, f"/jobs/{job_id}{suffix}"))
    except ApiError as error:
        code = error.code or "unreachable"
        outcome.errors.append({"id": job_id, "code": code, "message": str(error)})
        if code in ("unreachable", "unauthorized", "forbidden", "not-found"):
            raise
        sys.stderr.write(f"{job_id}: {escaped(str(error))}\n")
        return False
    return True


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
    count = _carry_out(endpoint, {**wanted, "dryRun": True}, {})["matched"]
    if not count:
        raise UsageError("no job matches")
    _confirm(f"{word} {count} jobs of {endpoint.key} at {endpoint.client.location}", options)
    action: dict[str, Any] = {}
    try:
        _carry_out(endpoint, wanted, action)
    finally:
        if action and options.output in ("json", "yaml"):
            counts = {name: action[name] for name in ("state", "matched", "done", "skipped")}
            # The console counts those that were skipped, and does not list them.
            errors: list[dict[str, str]] | None = None if action["skipped"] else []
            named = {"action": word, "endpoint": endpoint.key}
            write({**named, **counts, "jobs": None, "errors": errors}, options.output)
    done, skipped = action["done"], action["skipped"]
    left = f", {skipped} skipped" if skipped else ""
    sys.stderr.write(f"{word}: {done} of {action['matched']} jobs of {endpoint.key}{left}\n")
    return 0 if action["state"] == "Done" and not skipped else 1


def _carry_out(
    endpoint: Endpoint, wanted: Mapping[str, object], action: dict[str, Any]
) -> dict[str, Any]:
    """Begin an action and follow it to its end, noted in `action`; an interrupt aborts it."""
    action |= endpoint.change("POST", "/actions", wanted)
    path = f"/actions/{action['id']}"
    try:
        while action["state"] == "Running":
            if sys.stderr.isatty():
                room = ", waits for room in the queue" if action["waitingForRoom"] else ""
                found = action["matched"] if action["dryRun"] else action["done"]
                sys.stderr.write(f"\r\x1b[K{wanted['action']}: {found} jobs{room}")
                sys.stderr.flush()
            time.sleep(FOLLOW_SECONDS)
            action |= endpoint.get(path)
    except KeyboardInterrupt:
        action |= endpoint.change("DELETE", path)
        raise
    finally:
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")
    return action


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
