"""Promotion, expiry and retention, a bounded number of each at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from asyncendpoints_core.jobs.states import FINAL
from asyncendpoints_core.store.memory import uniqueness
from asyncendpoints_core.store.memory.record import Record, decode_record
from asyncendpoints_core.store.memory.transitions import expire_if_over, promote
from asyncendpoints_core.store.replies import Swept

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.store.memory.data import Data
    from asyncendpoints_core.store.memory.ordered import Key, Ordered

T = TypeVar("T")

BOUND: Final = 100  # of each kind per call
TOMBSTONE_MS: Final = 86_400_000
MAX_TOMBSTONES: Final = 10_000


def promote_due(data: Data, now: int) -> tuple[int, bool]:
    """Queue due Scheduled jobs; return how many, and whether more are due."""
    promoted = 0
    due = list(_until(data.scheduled, now, BOUND))
    for job_id in due:
        record = data.load(job_id, now)
        if isinstance(record, Record) and not record.final:
            promoted += promote(data, record, now)
    return promoted, len(due) == BOUND


def _until(order: Ordered, end: int, bound: int) -> Iterator[JobId]:
    for key in order.first(bound):
        if key[0] > end:
            return
        yield key[-1]


def sweep(data: Data, now: int) -> Swept:
    """Sweep once; see Store.sweep."""
    corrupt = data.totals["corrupt"]
    expired, late = _expire(data, now)
    promoted, due = promote_due(data, now)
    removed, old = _remove_finished(data, now)
    forgotten = _forget(data, now) | uniqueness.sweep(data, now)
    data.webhooks.sweep(now, data.rules.failed_ms)
    _forget_pauses(data)
    return Swept(
        promoted=promoted,
        expired=expired,
        removed=removed,
        corrupt=data.totals["corrupt"] - corrupt,
        more=late or due or old or forgotten,
    )


def _forget_pauses(data: Data) -> None:
    """Forget the pauses that have ended of names of which no job is unfinished."""
    for name in [name for name in data.pauses if not data.stopped(name)]:
        states = data.counts.get(name, {})
        if not any(count for state, count in states.items() if state not in FINAL):
            del data.pauses[name]


def _expire(data: Data, now: int) -> tuple[int, bool]:
    clock = now - data.paused_for(now)
    over = [
        *_until(data.ttl, clock - data.rules.ttl_ms, BOUND),
        *_until(data.limits, clock, BOUND),
    ]
    expired = 0
    for job_id in over:
        record = data.load(job_id, now)
        if isinstance(record, Record) and not expire_if_over(data, record, now):
            data.look_again(record, now)
        elif isinstance(record, Record):
            expired += 1
    return expired, len(over) >= BOUND


def _remove_finished(data: Data, now: int) -> tuple[int, bool]:
    removed = 0
    for state, order in data.finished.items():
        kept = data.kept_ms(state)
        for job_id in list(_until(order, now - kept, BOUND)):
            if data.rules.webhooks and _awaits_try(data, job_id, now - kept):
                continue
            data.remove(job_id, now)
            removed += 1
    surplus = sum(len(order) for order in data.finished.values()) - data.rules.max_finished
    for _ in range(min(surplus, BOUND)):
        heads = [key for order in data.finished.values() if (key := order.peek()) is not None]
        data.remove(min(heads, key=_finish_time)[-1], now)
        removed += 1
    return removed, removed >= BOUND


def _awaits_try(data: Data, job_id: JobId, ended_ms: int) -> bool:
    """Whether a job whose retention ended with those until `ended_ms` waits for a webhook."""
    record = decode_record(data.records.get(job_id))
    return isinstance(record, Record) and data.webhooks.awaits(
        job_id, record.revision, ended_ms - record.completed_ms
    )


def _finish_time(key: Key) -> int:
    return int(key[0])


def _forget(data: Data, now: int) -> bool:
    """Remove tombstones, ids of workers and idempotency keys past their retention."""
    keys = [
        key
        for key, bound in data.idempotency.items()
        if bound.until <= now and bound.job_id not in data.records
    ][:BOUND]
    for key in keys:
        del data.idempotency[key]
    tombstones = _outdated(data.tombstones, now)
    for job_id in tombstones:
        del data.tombstones[job_id]
    deregistered = _outdated(data.deregistered, now)
    for worker in deregistered:
        del data.deregistered[worker]
    return max(len(keys), len(tombstones), len(deregistered)) == BOUND


def _outdated(times: dict[T, int], now: int) -> list[T]:
    surplus = len(times) - MAX_TOMBSTONES
    return [
        key
        for index, (key, since) in zip(range(BOUND), times.items(), strict=False)
        if index < surplus or since <= now - TOMBSTONE_MS
    ]
