"""Claim: promote what is due, pick suspects alone, draw the rest 6 : 3 : 1, hand out numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeGuard

from asyncendpoints_core.errors import WorkerGone
from asyncendpoints_core.jobs import Claim, ClaimedJob, Priority
from asyncendpoints_core.states import State
from asyncendpoints_core.store.memory.record import Fault, Record, decode_request
from asyncendpoints_core.store.memory.sweeping import promote_due
from asyncendpoints_core.store.memory.transitions import expire_if_over
from asyncendpoints_core.store.protocol import MAX_BATCH, MAX_BATCH_BYTES, ClaimBatch

if TYPE_CHECKING:
    from asyncendpoints_core.store.memory.data import Data, Worker
    from asyncendpoints_core.store.memory.ordered import Ordered

_H, _N, _L = Priority.HIGH, Priority.NORMAL, Priority.LOW
# Ten slots, spread evenly; an empty line's slots go to the next one that has something.
DRAW: Final = (_H, _H, _N, _H, _H, _N, _H, _L, _H, _N)
# How many expired, malformed or newer heads one claim looks past.
LOOK_AHEAD: Final = 1_000


def claim(data: Data, worker_id: str, request: int, limit: int, now: int) -> ClaimBatch:
    """Hand out up to `limit` jobs to a worker; see Store.claim."""
    worker = data.workers.get(worker_id)
    if worker is None or worker.lease_ms <= now:
        raise WorkerGone(f"worker {worker_id} has no live lease")
    if worker.request is not None and request <= worker.request:
        repeated = worker.claims if request == worker.request else ()
        return _batch(data, now, _held_still(data, repeated, now))
    worker.request, worker.claims = request, ()
    refused = _refusal(data, worker, now)
    if refused:
        return ClaimBatch((), refused=refused)
    promote_due(data, now)
    holding = bool(data.held.get(worker_id))
    suspect = _Drawer(data, now).next(data.suspects, now)
    if suspect is not None:
        if not holding:
            data.reserved = ("", 0)
            return _hand_out(data, worker, [suspect], now, alone=True)
        if data.reserved[1] <= now or data.reserved[0] == worker_id:
            data.reserved = (worker_id, now + data.rules.lease_ms)
            return _batch(data, now, (), drain=True)
    drawer = _Drawer(data, now)
    records = drawer.draw(min(limit, MAX_BATCH))
    return _hand_out(data, worker, records, now, more=drawer.more())


def _refusal(data: Data, worker: Worker, now: int) -> str:
    if data.closed:
        return "closed"
    if data.paused_since:
        return "paused"
    if worker.draining:
        return "draining"
    return "cordoned" if worker.cordoned_until > now else ""


class _Drawer:
    """Takes records from the fronts of the lines, looking past those that cannot be run."""

    def __init__(self, data: Data, now: int) -> None:
        self._data = data
        self._now = now
        self._looks = LOOK_AHEAD
        self._passed: dict[int, int] = {}  # newer records left standing, by line

    def next(self, line: Ordered, eligible_ms: int | None = None) -> Record | None:
        """Return the first record of `line` that can run (and is eligible by then)."""
        while self._looks > 0:
            key = line.peek(self._passed.get(id(line), 0))
            if key is None or (eligible_ms is not None and key[0] > eligible_ms):
                return None
            record = self._data.load(key[-1], self._now)
            if record is Fault.NEWER:
                self._passed[id(line)] = self._passed.get(id(line), 0) + 1
            elif self._can_run(record):
                return record
            self._looks -= 1
        return None

    def _can_run(self, record: Record | Fault) -> TypeGuard[Record]:
        if not isinstance(record, Record) or record.state is not State.QUEUED:
            return False
        return not expire_if_over(self._data, record, self._now)

    def draw(self, limit: int) -> list[Record]:
        """Take up to `limit` records out of the lines, 1 MiB of bodies at most, at least one."""
        data = self._data
        taken: list[Record] = []
        size = 0
        while len(taken) < limit:
            record, slot = self._pick()
            size += record.size if record else 0
            if record is None or (taken and size > MAX_BATCH_BYTES):
                break
            data.slot = (slot + 1) % len(DRAW)
            data.unplace(record.id)
            taken.append(record)
        return taken

    def _pick(self) -> tuple[Record | None, int]:
        for step in range(len(DRAW)):
            slot = (self._data.slot + step) % len(DRAW)
            record = self.next(self._data.lines[DRAW[slot]])
            if record is not None:
                return record, slot
        return None, 0

    def more(self) -> bool:
        """Whether a line has something left beyond what had to be passed by."""
        return any(len(line) > self._passed.get(id(line), 0) for line in self._data.lines.values())


def _hand_out(
    data: Data,
    worker: Worker,
    records: list[Record],
    now: int,
    *,
    alone: bool = False,
    more: bool | None = None,
) -> ClaimBatch:
    number = max(data.fence + 1, now * 1000)
    jobs: list[ClaimedJob] = []
    for record in records:
        request = decode_request(data.requests.get(record.id))
        if isinstance(request, Fault):
            data.save(record, now)
            data.set_aside(record.id, now)
            continue
        data.totals["wait_ms"] += now - record.ready_ms
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
        worker.claims = tuple(job.claim for job in jobs)
    return _batch(data, now, tuple(jobs), alone=alone, more=more)


def _held_still(data: Data, claims: tuple[Claim, ...], now: int) -> tuple[ClaimedJob, ...]:
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
    alone: bool = False,
    drain: bool = False,
    more: bool | None = None,
) -> ClaimBatch:
    alone = alone or (len(jobs) == 1 and jobs[0].job.suspect)
    if more is None:
        more = any(len(line) for line in data.lines.values())
    return ClaimBatch(jobs, more, next_due(data, now), drain, alone)


def next_due(data: Data, now: int) -> int | None:
    """Return the milliseconds until the next Scheduled job or suspect is due, None without."""
    # Suspects that may run already wait for a worker that is empty, not for a time.
    backing_off = data.suspects.peek(data.suspects.rank((now + 1,)))
    heads = (data.scheduled.peek(), backing_off)
    times = [key[0] for key in heads if key is not None]
    return max(0, min(times) - now) if times else None
