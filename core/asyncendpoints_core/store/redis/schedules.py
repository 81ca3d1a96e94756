"""The verb of schedules, and the stored form of their state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncendpoints_core.jobs.schedules import Concurrency, Fired, FireStatus, ScheduleState
from asyncendpoints_core.store import message_layout as messages
from asyncendpoints_core.store import record_layout as tables
from asyncendpoints_core.store.redis.enqueue import encode_new
from asyncendpoints_core.store.redis.python_layout import packer, reader

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncendpoints_core.jobs.schedules import Firing
    from asyncendpoints_core.store.redis.caller import Caller

_FIRED: Final = {
    b"c": FireStatus.CREATED,
    b"m": FireStatus.MISSED,
    b"s": FireStatus.SKIPPED,
    b"d": FireStatus.DONE,
    b"o": FireStatus.OTHER,
    b"u": FireStatus.OUTDATED,
    b"f": FireStatus.FULL,
    b"x": FireStatus.CLOSED,
}
_POLICIES: Final = tuple(Concurrency)

_read_schedule = reader(
    tables.SCHEDULE, "hash last_ms fired_ms removed_ms missed missed_ms skipped skipped_ms"
)
_pack_firing = packer(messages.FIRING, "hash due_ms next_ms seen_ms missed deadline_ms concurrency")


def read_schedules(pairs: Iterable[tuple[bytes, bytes]]) -> tuple[ScheduleState, ...]:
    """Return the schedules that the policy has, by name."""
    found = []
    for name, data in pairs:
        if len(data) != tables.SCHEDULE.size:
            continue  # cannot be read: it begins again when the policy is written next
        hash_, last, fired, removed, missed, missed_ms, skipped, skipped_ms = _read_schedule(data)
        if not removed:
            state = ScheduleState(
                name.decode(), hash_.hex(), last, fired, missed, missed_ms, skipped, skipped_ms
            )
            found.append(state)
    return tuple(sorted(found, key=lambda state: state.name))


class ScheduleVerbs:
    """Part of RedisStore."""

    _caller: Caller

    async def fire(self, firing: Firing) -> Fired:
        """Decide on one time of a schedule; safe to send again, by the job's id."""
        head = _pack_firing(
            bytes.fromhex(firing.hash),
            firing.due_ms,
            firing.next_ms,
            firing.seen_ms,
            firing.missed,
            firing.deadline_ms,
            _POLICIES.index(firing.concurrency),
        )
        (letter, now), _ = await self._caller.execute(
            "fire",
            head + firing.schedule.encode(),
            *encode_new([firing.job]),
            durably=True,
            featured=True,
        )
        return Fired(_FIRED[letter], now)
