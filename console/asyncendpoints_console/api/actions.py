"""The requests about actions on many jobs: begin, follow, abort."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from asyncendpoints_console.api.call import json_response
from asyncendpoints_console.api.filters import MAX_TEXT, Filter
from asyncendpoints_console.reading.jobs import path_of
from asyncendpoints_console.refusals import Refusal
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.job_view import timestamp
from asyncendpoints_core.jobs.records import Idempotency
from asyncendpoints_core.store.actions import (
    Action,
    ActionKind,
    BeginStatus,
    NewAction,
    sections_of,
)
from asyncendpoints_core.store.listing import JobFilter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from asyncendpoints_console.api.call import Call
    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.jobs.states import State

MAX_IDS: Final = 1_000
WAIT_SECONDS: Final = 1.0
"""How long the answer waits for the end of an action, which is often there by then."""


class Requested(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """The body of a request for an action."""

    action: ActionKind
    ids: list[str] | None = None
    filter: Filter | None = None
    all: bool = False
    dry_run: bool = False


async def begin(call: Call) -> web.Response:
    """POST actions: 202 with the action as it is after a moment."""
    call.may_change()
    body = await call.json()
    try:
        wanted = msgspec.convert(body, Requested)
    except msgspec.ValidationError as error:
        raise _malformed(str(error)) from None
    new = _new(call, wanted)
    begun = await call.target.store.begin_action(new)
    match begun.status:
        case BeginStatus.BUSY:
            raise Refusal(
                "action-running",
                f"the action {ids.text(begun.action.id)} is running; wait for its end or abort it",
                headers={"Location": _path(call, begun.action.id)},
            )
        case BeginStatus.MISMATCH:
            raise Refusal("idempotency-mismatch", "the key was used for another action")
    action_id, task = begun.action.id, None
    if begun.status is BeginStatus.STARTED:
        task = call.site.actions.carry_out(call.target, action_id)
        await asyncio.wait((task,), timeout=WAIT_SECONDS)
    _, action = await _read(call, action_id)
    if task is not None and not action.dry_run:
        filters = {} if wanted.filter is None else {"filter": _shown(body["filter"])}
        _record(call, action, task, filters)
    return json_response(view(action), 202, {"Location": _path(call, action_id)})


def _record(
    call: Call, action: Action, task: asyncio.Task[Action | None], filters: Mapping[str, str]
) -> None:
    """Record an action that `task` carries out; the count becomes that of its end."""
    many = ids.text(action.id)
    record = call.record(action.kind.value, count=action.matched, many=many, **filters)

    def ended(task: asyncio.Task[Action | None]) -> None:
        if not task.cancelled() and not task.exception() and (found := task.result()):
            record["count"] = found.matched

    task.add_done_callback(ended)


async def show(call: Call) -> web.Response:
    """GET actions/{id}. One that another process has left goes on, since somebody waits for it."""
    now_ms, action = await _read(call, call.action_id)
    call.site.actions.go_on(call.target, action, now_ms)
    return json_response(view(action))


async def abort(call: Call) -> web.Response:
    """DELETE actions/{id}: what it did stays."""
    call.may_change()
    action = await call.target.store.abort_action(call.action_id)
    if action is None:
        raise _unknown()
    call.record("abort", many=ids.text(action.id))
    return json_response(view(action))


def view(action: Action) -> dict[str, Any]:
    """Return an action as JSON shows it."""
    return {
        "id": ids.text(action.id),
        "action": action.kind.value,
        "dryRun": action.dry_run,
        "state": action.state.value,
        "waitingForRoom": action.waiting,
        "matched": action.matched,
        "done": action.done,
        "skipped": action.skipped,
        "startedAt": timestamp(action.begun_ms),
        "endedAt": timestamp(action.ended_ms),
    }


async def _read(call: Call, action_id: JobId) -> tuple[int, Action]:
    """Return the store's time in ms and the action. Raises the 404."""
    now_ms, action = await call.target.store.action(action_id)
    if action is None:
        raise _unknown()
    return now_ms, action


def _unknown() -> Refusal:
    return Refusal("not-found", "there is no such action; they are kept for 24 hours")


def _malformed(detail: str) -> Refusal:
    return Refusal("malformed-body", f"the body is not valid: {detail}")


def _path(call: Call, action_id: JobId) -> str:
    return f"{path_of(call.target)}/actions/{ids.text(action_id)}"


def _shown(given: dict[str, Any]) -> str:
    return msgspec.json.encode(given).decode()


def _new(call: Call, wanted: Requested) -> NewAction:
    if wanted.ids is not None and (wanted.filter is not None or wanted.all):
        raise _malformed("give ids, or filter and all, not both")
    state, only = _filter(wanted.filter or Filter())
    if wanted.ids is None and not wanted.all and state is None and only == JobFilter():
        raise _malformed("an empty filter means all jobs: it needs all: true")
    try:
        sections_of(wanted.action, state)
    except ValueError as error:
        raise _malformed(str(error)) from None
    return NewAction(
        ids.new(call.site.time.now_ms()),
        wanted.action,
        state,
        only,
        () if wanted.ids is None else _ids(wanted.ids),
        wanted.dry_run,
        _idempotency(call, wanted),
    )


def _ids(given: list[str]) -> tuple[JobId, ...]:
    if not 1 <= len(given) <= MAX_IDS:
        raise _malformed(f"ids must have 1 to {MAX_IDS} items; more jobs are named by a filter")
    found = []
    for text in dict.fromkeys(given):
        parsed = ids.parse(text)
        if parsed is None:
            raise _malformed(f"{text[:40]!r} is not a job id")
        found.append(parsed)
    return tuple(found)


def _filter(given: Filter) -> tuple[State | None, JobFilter]:
    try:
        return given.state, given.checked()
    except ValueError as error:
        raise _malformed(f"filter.{error}") from None


def _idempotency(call: Call, wanted: Requested) -> Idempotency | None:
    key = call.request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_TEXT or not key.isprintable():
        raise Refusal("invalid-header", f"Idempotency-Key must have 1 to {MAX_TEXT} characters")
    digest = hashlib.blake2b(msgspec.json.encode(wanted), digest_size=32).digest()
    return Idempotency(key, digest)
