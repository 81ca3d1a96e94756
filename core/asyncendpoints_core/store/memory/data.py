"""The data of one endpoint's memory store, and `save`, the one function that writes a record.

Queues, counts and sets are all derived from the record there, so they cannot disagree.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.jobs.policy import Policy
from asyncendpoints_core.jobs.records import ErrorCode, Job, JobError, Priority
from asyncendpoints_core.jobs.states import FINAL, WAITING, State
from asyncendpoints_core.store.memory.entries import (
    Binding,
    Groups,
    HeldLock,
    IndexEntry,
    Progress,
    Schedule,
    Worker,
)
from asyncendpoints_core.store.memory.figures import FigureRings
from asyncendpoints_core.store.memory.gate import Flow
from asyncendpoints_core.store.memory.logs import Logs
from asyncendpoints_core.store.memory.ordered import Key, Ordered
from asyncendpoints_core.store.memory.record import Fault, Record, decode_record, encode
from asyncendpoints_core.store.memory.waiting import WaitingJobs
from asyncendpoints_core.store.memory.webhooks import Webhooks
from asyncendpoints_core.store.pauses import Pause, is_paused, stood_still
from asyncendpoints_core.store.positions import FIRST, Position
from asyncendpoints_core.store.replies import TOTALS

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.store.replies import Identity

SUSPENDED: Final = "suspended"
PAUSED: Final = "paused"


class Data:
    """The whole state of one endpoint."""

    def __init__(self, publish: Callable[[JobId, int], None]) -> None:
        """Start empty; `publish` is called with every change."""
        self.publish = publish
        self.policy: Policy | None = None
        self.identity: Identity | None = None
        self.closed = False
        self.stopped_by: set[str] = set()  # SUSPENDED, PAUSED: who stopped claims
        self.paused_since = self.paused_ms = 0
        self.pauses: dict[str, list[Pause]] = {}  # of single names of jobs
        # By queue, up to where it has only jobs whose name is paused: claims begin behind it.
        self.skipped: dict[Priority, Key] = {}
        self.tick = self.fence = self.seq = self.slot = self.bytes = 0
        self.exclusive: tuple[str, int] = ("", 0)
        self.records: dict[JobId, bytes] = {}
        self.requests: dict[JobId, bytes] = {}
        self.results: dict[JobId, bytes] = {}
        self.corrupt: dict[JobId, bytes] = {}
        self.index: dict[JobId, IndexEntry] = {}
        self.ready: dict[Priority, Ordered] = {priority: Ordered() for priority in Priority}
        self.gate = WaitingJobs(self.ready, self.pauses)
        self.waiting: dict[str, int] = {}  # jobs by key
        self.suspects = Ordered()
        self.scheduled = Ordered()
        self.running = Ordered()
        self.finished = {state: Ordered() for state in State if state in FINAL}
        self.ttl = Ordered()
        self.limits = Ordered()
        self.held = Groups()  # by worker
        self.workers: dict[str, Worker] = {}
        self.deregistered: dict[str, int] = {}
        self.schedules: dict[str, Schedule] = {}
        self.actions: dict[JobId, Progress] = {}
        self.unfinished = Groups()  # by schedule
        self.idempotency: dict[str, Binding] = {}
        self.locks: dict[bytes, HeldLock] = {}
        self.tombstones: dict[JobId, int] = {}
        self.counts: dict[str, dict[State, int]] = {}
        self.totals: dict[str, int] = dict.fromkeys(TOTALS, 0)
        self.webhooks, self.logs = Webhooks(self.totals), Logs()
        self.waits, self.figures = Counter[int](), FigureRings()

    @property
    def rules(self) -> Policy:
        """The policy in force."""
        return self.policy or _DEFAULT

    def paused_for(self, now: int) -> int:
        """Return for how long the queue has been paused in total."""
        return self.paused_ms + (now - self.paused_since if self.paused_since else 0)

    def expires(self, record: Record, now: int) -> int:
        """Return when a waiting job's time to live or a final one's retention ends, else 0."""
        if record.final:
            return record.completed_ms + self.kept_ms(record.state)
        if record.state not in WAITING or record.started_ms:
            return 0
        paused_ms, since_ms = self.paused_for(now), record.base_ms - record.paused_ms
        end = record.limit_ms or record.base_ms + self.rules.ttl_ms
        still_ms = stood_still(self.pauses.get(record.name, ()), since_ms, now - paused_ms)
        return end + paused_ms - record.paused_ms + still_ms

    def stopped(self, name: str) -> bool:
        """Return whether jobs of this name are paused."""
        return is_paused(self.pauses.get(name, ()))

    def kept_ms(self, state: State) -> int:
        """Return how long a job is kept in the final `state`."""
        return self.rules.completed_ms if state is State.COMPLETED else self.rules.failed_ms

    def job(self, record: Record, now: int) -> Job:
        """Return the job as callers see it."""
        return record.as_job(self.expires(record, now))

    def depth(self) -> int:
        """Return how many jobs are Queued or Scheduled."""
        return (
            sum(len(queue) for queue in self.ready.values())
            + self.gate.behind
            + len(self.suspects)
            + len(self.scheduled)
        )

    def next_seq(self) -> int:
        """Return the next position at the tail."""
        self.seq += 1
        return self.seq

    def position(self, record: Record, now: int) -> Position:
        """Return what starts before a Queued job; suspects go first."""
        if record.state is not State.QUEUED or record.suspect:
            return FIRST
        if self.gate.on:
            return self.gate.position(record.id, now)
        return Position(self.ready[record.priority].rank((record.seq, record.id)))

    def _line(self, record: Record) -> tuple[tuple[Ordered, Key], ...]:
        if record.suspect:
            return ((self.suspects, (record.eligible_ms, record.id)),)
        if self.gate.on:
            return ()  # the gate has it
        return ((self.ready[record.priority], (record.seq, record.id)),)

    def _keys(self, record: Record) -> tuple[tuple[Ordered, Key], ...]:
        if record.state is State.IN_PROGRESS:
            return ((self.running, (record.claim, record.id)),)
        if record.final:
            return ((self.finished[record.state], (record.completed_ms, record.id)),)
        if record.state is State.QUEUED:
            queue = self._line(record)
        else:
            queue = ((self.scheduled, (record.not_before_ms, record.id)),)
        if record.started_ms:
            return queue
        # In time that does not run while paused, so that the order never changes.
        if record.limit_ms:
            return *queue, (self.limits, (record.limit_ms - record.paused_ms, record.id))
        return *queue, (self.ttl, (record.base_ms - record.paused_ms, record.id))

    def unindex(self, job_id: JobId) -> IndexEntry | None:
        """Remove a job from every index and count; return where it was."""
        entry = self.index.pop(job_id, None)
        if entry is None:
            return None
        for order, key in entry.keys:
            order.remove(key)
        self.gate.remove(job_id)
        self._count(entry.name, entry.state, -1)
        if entry.key:
            self.waiting[entry.key] -= 1
            if not self.waiting[entry.key]:
                del self.waiting[entry.key]
        if entry.state not in FINAL:
            self.bytes -= entry.size
        self.held.remove(entry.worker, job_id)
        self.unfinished.remove(entry.schedule, job_id)
        return entry

    def _count(self, name: str, state: State, by: int) -> None:
        states = self.counts.setdefault(name, dict.fromkeys(State, 0))
        states[state] += by
        if not any(states.values()):
            del self.counts[name]

    def save(self, record: Record, now: int, *, new: bool = False) -> None:
        """Write a changed record and index it."""
        before = self.unindex(record.id)
        if before and before.worker and record.state is not State.IN_PROGRESS:
            self.gate.free(record.id, now)
        if not new:
            record.revision += 1
        record.updated_ms = now
        self.records[record.id] = encode(record)
        worker = record.worker if record.state is State.IN_PROGRESS else ""
        keys = self._keys(record)
        schedule = record.attributes.schedule if record.attributes and not record.final else ""
        job_key = record.attributes.key if record.attributes and record.state in WAITING else ""
        self.index[record.id] = IndexEntry(
            record.name, record.state, record.size, worker, schedule, job_key, keys
        )
        if job_key:
            self.waiting[job_key] = self.waiting.get(job_key, 0) + 1
        for order, key in keys:
            order.add(key)
        if self.gate.on and record.state is State.QUEUED and not record.suspect:
            self.gate.add(record.id, flow_of(record), record.seq)
        elif record.state is State.QUEUED and not record.suspect:
            self._note_skipped(record)
        self._count(record.name, record.state, 1)
        if not record.final:
            self.bytes += record.size
        elif self.rules.webhook_states:
            self.webhooks.ended(self.job(record, now), self.rules, now)
        self.held.add(worker, record.id)
        self.unfinished.add(schedule, record.id)
        self.publish(record.id, record.revision)

    def configure_gate(self, now: int) -> None:
        """Put the policy's keys and limits in force for the jobs that are there."""
        limits, was_on = self.rules.limits, self.gate.on
        if limits is None and not was_on:
            return
        waiting = [] if limits is not None and was_on else self._queued()
        for record in waiting:
            self._stand(record, -1)
        if limits is None:
            self.gate = WaitingJobs(self.ready, self.pauses)
            self.skipped.clear()
        else:
            self.gate.configure(limits, self.seq, now)
        for record in waiting:
            self._stand(record, 1)
        if not was_on:
            self._book_running(now)

    def _queued(self) -> list[Record]:
        ids = [job_id for job_id, entry in self.index.items() if entry.state is State.QUEUED]
        records = (decode_record(self.records.get(job_id)) for job_id in ids)
        return sorted(
            (record for record in records if isinstance(record, Record) and not record.suspect),
            key=lambda record: record.seq,
        )

    def _stand(self, record: Record, by: int) -> None:
        """Take a ready job out of its line, or put it back, where the gate changes."""
        if by < 0:
            for order, key in self.index[record.id].keys:
                order.remove(key)
            self.gate.remove(record.id)
            return
        keys = self._keys(record)
        self.index[record.id] = self.index[record.id]._replace(keys=keys)
        for order, key in keys:
            order.add(key)
        if self.gate.on:
            self.gate.add(record.id, flow_of(record), record.seq)

    def _book_running(self, now: int) -> None:
        for job_id in self.running.ids():
            record = decode_record(self.records.get(job_id))
            if isinstance(record, Record):
                self.gate.book(job_id, flow_of(record), now)

    def _note_skipped(self, record: Record) -> None:
        if (record.seq, record.id) < self.skipped.get(record.priority, ()):
            self.skipped[record.priority] = (record.seq,)

    def look_again(self, record: Record, now: int) -> None:
        """Put a waiting job where the sweep finds it when its time to live is over, at present."""
        entry = self.index[record.id]
        later_ms = self.expires(record, now) - self.paused_for(now)
        moments = {self.ttl: later_ms - self.rules.ttl_ms, self.limits: later_ms}
        keys: list[tuple[Ordered, Key]] = []
        for order, key in entry.keys:
            moved = (moments[order], record.id) if order in moments else key
            order.remove(key)
            order.add(moved)
            keys.append((order, moved))
        self.index[record.id] = entry._replace(keys=tuple(keys))

    def rewrite(self, record: Record) -> None:
        """Write a record of which nothing changed that is a revision or indexed."""
        self.records[record.id] = encode(record)

    def suspect_positions(self) -> list[Key]:
        """Return the position and id of every suspect."""
        records = (decode_record(self.records.get(key[-1])) for key in self.suspects.first(10_000))
        return [(record.seq, record.id) for record in records if isinstance(record, Record)]

    def load(self, job_id: JobId, now: int) -> Record | Fault:
        """Read a record. A malformed one is kept in `corrupt` and replaced by a Failed one, a
        missing one leaves every index, one of a newer version stays untouched.
        """
        record = decode_record(self.records.get(job_id))
        if record is Fault.MISSING and self.unindex(job_id) is not None:
            self.requests.pop(job_id, None)
            self.gate.free(job_id, now)
            self.totals["corrupt"] += 1
        if record is Fault.CORRUPT:
            return self.mark_corrupt(job_id, now)
        return record

    def mark_corrupt(self, job_id: JobId, now: int) -> Record:
        """Keep a malformed record's bytes and put a Failed one in its entry."""
        self.corrupt[job_id] = self.records[job_id]
        entry = self.unindex(job_id)
        self.gate.free(job_id, now)
        record = Record(
            id=job_id,
            name=entry.name if entry else "",
            state=State.FAILED,
            priority=Priority.NORMAL,
            max_attempts=0,
            created_ms=now,
            updated_ms=now,
            size=0,
            base_ms=now,
            limit_ms=0,
            paused_ms=0,
            completed_ms=now,
            error=JobError(ErrorCode.CORRUPT, "the job's record could not be read"),
        )
        self.totals["corrupt"] += 1
        self.totals["failed"] += 1
        self.save(record, now)
        return record

    def remove(self, job_id: JobId, now: int) -> None:
        """Remove a job, leaving a tombstone."""
        self.unindex(job_id)
        for shelf in (self.records, self.requests, self.results, self.corrupt):
            shelf.pop(job_id, None)
        self.logs.forget(job_id)
        self.tombstones[job_id] = now
        self.totals["removed"] += 1
        self.publish(job_id, 0)


def flow_of(record: Record) -> Flow:
    """Return the flow that a job waits in."""
    key = record.attributes.key if record.attributes else ""
    return Flow(key, record.priority, record.name)


_DEFAULT = Policy()
