"""Claim: promote what is due, pick suspects alone, draw the rest 6 : 3 : 1, hand out numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncendpoints_core.errors import WorkerGone
from asyncendpoints_core.jobs.records import Claim, ClaimedJob, Priority
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.memory.data import flow_of
from asyncendpoints_core.store.memory.gate import TOTAL
from asyncendpoints_core.store.memory.record import Fault, Record, decode_request
from asyncendpoints_core.store.memory.sweeping import promote_due
from asyncendpoints_core.store.memory.transitions import expire_if_over
from asyncendpoints_core.store.replies import MAX_BATCH, MAX_BATCH_BYTES, ClaimBatch
from asyncendpoints_core.store.waits import bucket_of

if TYPE_CHECKING:
    from asyncendpoints_core.store.memory.data import Data
    from asyncendpoints_core.store.memory.entries import Worker

_H, _N, _L = Priority.HIGH, Priority.NORMAL, Priority.LOW
# Ten slots, spread evenly; an empty queue's slots go to the next one that has something.
SHARES: Final = (_H, _H, _N, _H, _H, _N, _H, _L, _H, _N)
# How many expired, malformed or newer heads one claim looks past.
LOOK_AHEAD: Final = 100


def claim(data: Data, worker_id: str, request: int, limit: int, now: int) -> ClaimBatch:
    """Claim up to `limit` jobs for a worker; see Store.claim."""
    worker = data.workers.get(worker_id)
    if worker is None or worker.lease_ms <= now:
        raise WorkerGone(f"worker {worker_id} has no live lease")
    if worker.request is not None and request <= worker.request:
        repeated = worker.claims if request == worker.request else ()
        return _batch(data, now, _still_held(data, repeated, now))
    refused = _refusal(data, worker, now)
    if refused:
        return ClaimBatch((), next_due_ms=next_due(data, now), refused=refused)
    promote_due(data, now)
    if not data.gate.full(TOTAL, now):
        data.gate.unpark(now)
    selection = _Selection(data, now)
    suspect = selection.suspect()
    if suspect is not None:
        if not data.held.get(worker_id):
            if data.exclusive[0] == worker_id:
                data.exclusive = ("", 0)
            if data.gate.on:
                data.gate.book(suspect.id, flow_of(suspect), now)
            return _grant(data, worker, request, [suspect], now, more=selection.more())
        if data.exclusive[1] <= now or data.exclusive[0] == worker_id:
            # Renewed by each claim: its jobs may run for longer than a lease.
            data.exclusive = (worker_id, now + data.rules.lease_ms)
            return _batch(data, now, (), stop_claiming=True, more=selection.more())
    records = selection.take(min(limit, MAX_BATCH))
    return _grant(data, worker, request, records, now, more=selection.more())


def _refusal(data: Data, worker: Worker, now: int) -> str:
    if data.closed:
        return "closed"
    if data.paused_since:
        return "paused"
    if worker.draining:
        return "draining"
    return "cordoned" if worker.cordoned_until > now else ""


def startable_suspect(data: Data, now: int) -> Record | None:
    """Return the first suspect whose time has come, and that no pause and no limit holds back."""
    for key in data.suspects.first(LOOK_AHEAD):
        if key[0] > now:
            return None
        record = data.load(key[-1], now)
        if not isinstance(record, Record) or record.state is not State.QUEUED:
            continue
        if not data.stopped(record.name) and data.gate.allows(flow_of(record), now):
            return record
    return None


class _Selection:
    """Takes records from the heads of the queues, passing over those that cannot run."""

    def __init__(self, data: Data, now: int) -> None:
        self._data = data
        self._now = now
        # Records passed over at the head of each queue: newer ones, and those that are paused.
        self._passed = {
            queue: data.ready[queue].rank(data.skipped[queue])
            if queue in data.skipped and not data.gate.on
            else 0
            for queue in Priority
        }
        self._staying: set[Priority] = set()
        self._slot = data.slot

    def suspect(self) -> Record | None:
        """Return the first suspect that may run now."""
        while record := startable_suspect(self._data, self._now):
            if not expire_if_over(self._data, record, self._now):
                return record
        return None

    def take(self, limit: int) -> list[Record]:
        """Remove up to `limit` records from the queues, at most 1 MiB of bodies (but one job)."""
        taken: list[Record] = []
        size = 0
        for _ in range((1 + self._data.gate.on) * (limit + LOOK_AHEAD)):
            slot = self._next_slot()
            if slot is None or len(taken) >= limit:
                break
            if not self._admit(SHARES[slot]):
                continue
            record = self._front(SHARES[slot])
            size += record.size if record else 0
            if record and taken and size > MAX_BATCH_BYTES:
                break
            self._slot = (slot + 1) % len(SHARES)
            if record is not None:
                if self._data.gate.on:
                    self._data.gate.start(record.id, self._now)
                self._data.unindex(record.id)
                taken.append(record)
        if taken:
            self._data.slot = self._slot
        return taken

    def _admit(self, queue: Priority) -> bool:
        """Return whether key and limits let the first job of a queue start."""
        key = self._data.ready[queue].peek(self._passed[queue])
        return not self._data.gate.on or key is None or self._data.gate.admit(key[-1], self._now)

    def _next_slot(self) -> int | None:
        """Return the next slot whose queue is not empty: others get the slots of an empty one."""
        if self._data.gate.full(TOTAL, self._now):
            return None
        for step in range(len(SHARES)):
            slot = (self._slot + step) % len(SHARES)
            if len(self._data.ready[SHARES[slot]]) > self._passed[SHARES[slot]]:
                return slot
        return None

    def _front(self, queue: Priority) -> Record | None:
        """Return the first record of a queue; None if it cannot run (and has left the queue)."""
        key = self._data.ready[queue].peek(self._passed[queue])
        record = self._data.load(key[-1], self._now) if key else Fault.MISSING
        if record is Fault.NEWER and key:
            self._passed[queue] += 1
            self._staying.add(queue)
            self._data.gate.pass_over(key[-1])
        if not isinstance(record, Record) or record.state is not State.QUEUED:
            return None
        if expire_if_over(self._data, record, self._now):
            return None
        if not self._data.stopped(record.name):
            return record
        self._passed[queue] += 1
        if queue not in self._staying:
            self._data.skipped[queue] = (record.seq, record.id, 0)  # just behind it
        return None

    def more(self) -> bool:
        """Return whether a queue has records beyond those passed over."""
        if self._next_slot() is not None:
            return True
        gate = self._data.gate
        return gate.due(self._now) and not gate.full(TOTAL, self._now)


def _grant(
    data: Data,
    worker: Worker,
    request_number: int,
    records: list[Record],
    now: int,
    *,
    more: bool,
) -> ClaimBatch:
    number = max(data.fence + 1, now * 1000)
    jobs: list[ClaimedJob] = []
    for record in records:
        request = decode_request(data.requests.get(record.id))
        if isinstance(request, Fault):
            data.save(record, now)
            data.mark_corrupt(record.id, now)
            continue
        data.totals["wait_ms"] += now - record.ready_ms
        data.waits[bucket_of(now - record.ready_ms)] += 1
        record.state = State.IN_PROGRESS
        record.attempt += 1
        record.claim = number + len(jobs)
        record.worker = worker.info.id
        record.started_ms = now
        record.deadline_ms = now + data.rules.execution_ms
        record.progress = None
        data.save(record, now)
        grant = Claim(record.id, record.claim, record.worker)
        jobs.append(ClaimedJob(grant, data.job(record, now), request, record.deadline_ms))
    if jobs:
        data.fence = number + len(jobs) - 1
        data.totals["claimed"] += len(jobs)
        worker.request = request_number
        worker.claims = tuple(job.claim for job in jobs)
    return _batch(data, now, tuple(jobs), more=more)


def _still_held(data: Data, claims: tuple[Claim, ...], now: int) -> tuple[ClaimedJob, ...]:
    """Return the jobs of an earlier claim that are still held under it."""
    jobs: list[ClaimedJob] = []
    for grant in claims:
        record = data.load(grant.job_id, now)
        request = decode_request(data.requests.get(grant.job_id))
        if isinstance(record, Fault) or isinstance(request, Fault):
            continue
        if record.state is State.IN_PROGRESS and record.claim == grant.number:
            jobs.append(ClaimedJob(grant, data.job(record, now), request, record.deadline_ms))
    return tuple(jobs)


def _batch(
    data: Data,
    now: int,
    jobs: tuple[ClaimedJob, ...],
    *,
    stop_claiming: bool = False,
    more: bool = False,
) -> ClaimBatch:
    exclusive = any(job.job.suspect for job in jobs)
    return ClaimBatch(jobs, more, next_due(data, now), stop_claiming, exclusive)


def next_due(data: Data, now: int) -> int | None:
    """Return the milliseconds until the next Scheduled job or suspect is due, None without."""
    # Suspects that may run already wait for a worker without jobs, not for a time.
    backing_off = data.suspects.peek(data.suspects.rank((now + 1,)))
    heads = (data.scheduled.peek(), backing_off)
    times = [key[0] for key in heads if key is not None]
    if (limited := data.gate.next_ms(now)) is not None:
        times.append(limited)
    return max(0, min(times) - now) if times else None
