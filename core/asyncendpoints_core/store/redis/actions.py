"""The verbs of actions on many jobs; lua/lib/actions.lua has the fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.store.actions import (
    Action,
    ActionKind,
    ActionState,
    BeginStatus,
    Begun,
    NewAction,
    sections_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints_core.store.redis.caller import Caller

_ALWAYS: Final = 2**52


class ActionVerbs:
    """Part of RedisStore."""

    _caller: Caller

    async def begin_action(self, new: NewAction) -> Begun:
        bound = new.idempotency
        key, fingerprint = (b"", b"")
        if bound is not None:
            key, fingerprint = b"key:" + bound.key.encode(), bound.fingerprint
        head = (bytes(new.id), key, fingerprint, b"1" if new.dry_run else b"0")
        word, reply = await self._caller.run("begin_action", *head, *_fields(new))
        return Begun(BeginStatus(word.decode()), _read(reply))

    async def step_action(self, action_id: JobId) -> Action | None:
        reply = await self._caller.run("step_action", bytes(action_id))
        return _read(reply) if reply else None

    async def abort_action(self, action_id: JobId) -> Action | None:
        reply = await self._caller.run("abort_action", bytes(action_id))
        return _read(reply) if reply else None

    async def action(self, action_id: JobId | None) -> tuple[int, Action | None]:
        now, reply = await self._caller.run("read_action", bytes(action_id or b""))
        return int(now), _read(reply) if reply else None


def _fields(new: NewAction) -> list[bytes]:
    only = new.only
    fields = {
        "kind": new.kind.value,
        "sections": "" if new.ids else ",".join(sections_of(new.kind, new.state)),
        "only_state": new.state.value if new.state else "",
        "name": only.job,
        "key": only.key,
        "schedule": only.schedule,
        "code": only.error,
        "since": str(only.since_ms),
        "before": str(only.until_ms or _ALWAYS),
        "tags": ",".join(only.tags),
        "matched": str(len(new.ids)),
    }
    flat = [word.encode() for pair in fields.items() for word in pair]
    return [*flat, b"ids", b"".join(new.ids)]


def _read(reply: Sequence[bytes]) -> Action:
    action_id, kind, state, dry, waiting, matched, done, skipped, begun, ended, stepped = reply
    return Action(
        id=JobId(action_id),
        kind=ActionKind(kind.decode()),
        state=ActionState(state.decode()),
        dry_run=dry == b"1",
        waiting=waiting == b"1",
        matched=int(matched),
        done=int(done),
        skipped=int(skipped),
        begun_ms=int(begun),
        ended_ms=int(ended),
        stepped_ms=int(stepped),
    )
