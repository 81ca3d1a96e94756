"""The two stores as the tests drive them: with a clock that tests move, and raw records."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.policy import Policy
from asyncendpoints_core.jobs.records import (
    NO_ATTRIBUTES,
    Attributes,
    Claim,
    ClaimedJob,
    Job,
    JobError,
    NewJob,
    OnConflict,
    Outcome,
    Priority,
    Request,
    Result,
)
from asyncendpoints_core.jobs.retry import RetryPolicy
from asyncendpoints_core.jobs.states import FINAL, State
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.record_layout import LOG
from asyncendpoints_core.store.replies import (
    ClaimBatch,
    EnqueueStatus,
    Settled,
    SettleStatus,
    Swept,
    WorkerInfo,
)

# Far ahead of the machine's clock, so that Redis's own time never overtakes the test's.
START_MS = 4_102_444_800_000
ERROR = JobError("handler-error", "it went wrong", retryable=True)
DONE = Result("text/plain; charset=utf-8", b"done")
POLICY = Policy(retry=RetryPolicy(jitter="none"))


@dataclass
class Scan:
    """Everything a store holds, read without its own indexes: what the figures must agree with."""

    states: dict[JobId, State] = field(default_factory=dict)
    names: dict[JobId, str] = field(default_factory=dict)
    # Which of the store's lines each id stands in.
    lines: dict[str, list[JobId]] = field(default_factory=dict)
    held: dict[str, set[JobId]] = field(default_factory=dict)
    results: set[JobId] = field(default_factory=set)
    # Who holds each lock of a unique job.
    locks: dict[bytes, JobId] = field(default_factory=dict)
    # Whether running jobs have places; which limits are of concurrency, where only these are
    # counted; the places of running jobs; how many each resource has.
    gated: bool = False
    concurrency: dict[str, bool] | None = None
    places: dict[JobId, tuple[str, str]] = field(default_factory=dict)
    usage: dict[str, int] = field(default_factory=dict)
    # The jobs that have logs; what these take, as counted and as added up.
    logs: set[JobId] = field(default_factory=set)
    log_bytes: tuple[int, int] = (0, 0)


def _log_bytes(logs: Sequence[Any]) -> int:
    return sum(LOG.size + len(log.text) for log in logs)


class Backend(Protocol):
    """A store, its time, and what a test may do behind its back."""

    store: Store

    async def open(self) -> None:
        """Open the store and stop its time."""
        ...

    async def now(self) -> int:
        """Return the store's time."""
        ...

    async def advance(self, ms: int) -> None:
        """Move the store's time."""
        ...

    async def outage(self, ms: int) -> None:
        """Move time while nobody could reach the store, so that not even a tick was written."""
        ...

    async def waiters(self, count: int) -> None:
        """Return when `count` workers wait for the doorbell."""
        ...

    async def spoil(self, job_id: JobId, record: bytes | None) -> None:
        """Put bytes in the place of a job's record, or remove it."""
        ...

    async def make_newer(self, job_id: JobId) -> bytes:
        """Give a job's record a higher version, as a newer program would; return its bytes."""
        ...

    async def record(self, job_id: JobId) -> bytes | None:
        """Return a record's bytes."""
        ...

    async def set_aside(self, job_id: JobId) -> bytes | None:
        """Return the bytes kept of a corrupt record."""
        ...

    async def preset_fence(self, number: int) -> None:
        """Set the last claim number given."""
        ...

    async def scan(self) -> Scan:
        """Read everything."""
        ...

    async def close(self) -> None:
        """Close the store."""
        ...


class SetTime(SystemTime):
    """A wall clock that the test sets; waits take real time, as they do in Redis."""

    def __init__(self, now_ms: int) -> None:
        super().__init__()
        self._set_ms = now_ms

    def now_ms(self) -> int:
        return self._set_ms

    def advance(self, ms: int) -> None:
        self._set_ms += ms


class MemoryBackend:
    """MemoryStore over a clock of the test's own."""

    def __init__(self) -> None:
        self._clock = SetTime(START_MS)
        self._store = MemoryStore(self._clock)
        self.store: Store = self._store

    async def open(self) -> None:
        await self.store.open()

    async def now(self) -> int:
        return self._clock.now_ms()

    async def advance(self, ms: int) -> None:
        self._clock.advance(ms)
        # Whoever keeps the store has been ticking all the while; only `outage` leaves that out.
        if self._store._data.tick:
            self._store._data.tick = self._clock.now_ms()

    async def outage(self, ms: int) -> None:
        self._clock.advance(ms)

    async def waiters(self, count: int) -> None:
        while len(self._store._doorbell._idle) < count:  # noqa: ASYNC110 - there is nothing to wait on
            await asyncio.sleep(0)

    async def spoil(self, job_id: JobId, record: bytes | None) -> None:
        if record is None:
            del self._store._data.records[job_id]
        else:
            self._store._data.records[job_id] = record

    async def make_newer(self, job_id: JobId) -> bytes:
        data = self._store._data.records[job_id]
        self._store._data.records[job_id] = newer = higher_version(data)
        return newer

    async def record(self, job_id: JobId) -> bytes | None:
        return self._store._data.records.get(job_id)

    async def set_aside(self, job_id: JobId) -> bytes | None:
        return self._store._data.corrupt.get(job_id)

    async def preset_fence(self, number: int) -> None:
        self._store._data.fence = number

    async def scan(self) -> Scan:
        from asyncendpoints_core.store.memory.record import Record, decode_record

        data = self._store._data
        scan = Scan(results=set(data.results))
        for job_id, stored in data.records.items():
            record = decode_record(stored)
            if isinstance(record, Record):
                scan.states[job_id], scan.names[job_id] = record.state, record.name
        for priority, line in data.ready.items():
            scan.lines[f"ready:{priority.name}"] = line.ids()
        waiting = set(data.gate.order.ids())
        in_line = {job_id for line in data.ready.values() for job_id in line.ids()}
        scan.lines["ready:behind"] = sorted(waiting - in_line)
        scan.places = {job_id: (flow.key, flow.name) for job_id, flow in data.gate.places.items()}
        scan.usage = dict(data.gate.running)
        scan.gated = data.gate.on
        scan.lines |= {"suspects": data.suspects.ids(), "delayed": data.scheduled.ids()}
        scan.lines["running"] = data.running.ids()
        for state, finished in data.finished.items():
            scan.lines[f"finished:{state}"] = finished.ids()
        scan.held = {worker: set(held) for worker, held in data.held.items()}
        scan.locks = {name: lock.job_id for name, lock in data.locks.items()}
        scan.logs = data.logs.jobs()
        scan.log_bytes = (
            data.logs.bytes,
            sum(_log_bytes(logs) for _, logs in data.logs._of.values()),
        )
        return scan

    async def close(self) -> None:
        await self.store.close()


def higher_version(record: bytes) -> bytes:
    """Return a record as a newer program would have written it: both stores have magic, version."""
    return bytes([record[0], record[1] + 1]) + record[2:]


async def check(backend: Backend) -> None:
    """Assert what holds after anything: figures equal a full scan, each job stands in one place."""
    scan = await backend.scan()
    stats = await backend.store.stats()
    places = Counter(job_id for line in scan.lines.values() for job_id in line)
    assert not [job_id for job_id, count in places.items() if count > 1], "an id stands twice"
    assert set(places) >= set(scan.states), "a job stands nowhere"
    counts, scanned = {state: n for state, n in stats.counts.items() if n}, _totals(scan)
    assert counts == scanned, f"counted {counts}, found {scanned}"
    by_name = Counter((scan.names[job_id], state) for job_id, state in scan.states.items())
    if set(places) == set(scan.states):
        shown = {
            (name, state): n
            for name, states in stats.by_name.items()
            for state, n in states.items()
        }
        assert {key: n for key, n in shown.items() if n} == by_name
    for name, line in scan.lines.items():
        for job_id in line:
            if job_id in scan.states:
                assert _belongs(name, scan.states[job_id]), f"a {scan.states[job_id]} in {name}"
    assert sorted(scan.lines["running"]) == sorted(set().union(*scan.held.values()))
    assert stats.held == len(scan.lines["running"])
    check_places(scan)
    assert scan.results <= {i for i, state in scan.states.items() if state is State.COMPLETED}
    assert stats.suspects == len(scan.lines["suspects"])
    assert scan.logs <= set(places), "logs of a job that is gone"
    assert scan.log_bytes[0] == scan.log_bytes[1], "bytes of logs"


def check_places(scan: Scan) -> None:
    """Assert that each running job, and no other, has the places that limits count."""
    if not scan.gated:
        assert not scan.places
        return
    assert sorted(scan.places) == sorted(scan.lines["running"])
    usage = Counter({"t": len(scan.places)})
    for key, name in scan.places.values():
        usage.update([f"j{name}", *([f"k{key}"] if key else [])])
    limited = scan.concurrency
    if limited is not None:
        every = limited.get("k", False)
        usage = Counter(
            {
                resource: n
                for resource, n in usage.items()
                if resource == "t" or limited.get(resource, resource[0] == "k" and every)
            }
        )
    assert scan.usage == {resource: n for resource, n in usage.items() if n}


def _totals(scan: Scan) -> dict[State, int]:
    """Count jobs by state; by their line those whose record this program cannot read."""
    total = Counter(scan.states.values())
    for name, line in scan.lines.items():
        unread = [job_id for job_id in line if job_id not in scan.states]
        total[next(state for state in State if _belongs(name, state))] += len(unread)
    return {state: count for state, count in total.items() if count}


def _belongs(line: str, state: State) -> bool:
    if line.startswith("finished:"):
        return state in FINAL and line.endswith(state)
    if line.startswith("ready:") or line == "suspects":
        return state is State.QUEUED
    return state is (State.SCHEDULED if line == "delayed" else State.IN_PROGRESS)


def new(
    name: str = "report",
    *,
    priority: Priority = Priority.NORMAL,
    delay_ms: int = 0,
    ttl_ms: int = 0,
    max_attempts: int = 4,
    body: bytes = b'{"a":1}',
    key: str = "",
    fingerprint: bytes = b"f",
    job_id: JobId | None = None,
    attributes: Attributes = NO_ATTRIBUTES,
    on_conflict: OnConflict = OnConflict.RETURN,
) -> NewJob:
    """Return a job to enqueue."""
    return NewJob(
        id=job_id or ids.new(START_MS),
        name=name,
        request=Request(
            "POST",
            "/reports/7",
            "page=2",
            {"customer": "7"},
            {"x-tenant": "blue", "accept": "*/*"},
            "application/json",
            body,
        ),
        max_attempts=max_attempts,
        priority=priority,
        delay_ms=delay_ms,
        ttl_ms=ttl_ms,
        idempotency=jobs.Idempotency(key, fingerprint) if key else None,
        attributes=attributes,
        on_conflict=on_conflict,
    )


async def check_locks(backend: Backend) -> None:
    """Assert that no lock is left of a job that has ended, once all sweeps are done."""
    while (await backend.store.sweep()).more:
        pass
    scan = await backend.scan()
    left = {job_id: scan.states.get(job_id) for job_id in scan.locks.values()}
    stuck = [state for state in left.values() if state is None or state in FINAL]
    assert not stuck, f"locks of jobs that are {stuck}"


class Hand:
    """A registered worker that counts its own claims."""

    def __init__(self, store: Store, worker: str) -> None:
        self.store = store
        self.id = worker
        self.request = 0

    async def claim(self, limit: int = 10) -> ClaimBatch:
        self.request += 1
        return await self.store.claim(self.id, self.request, limit)

    async def claim_next(self, ms: int, limit: int = 10) -> ClaimBatch:
        self.request += 1
        return await self.store.claim_next(self.id, self.request, limit, ms)

    async def take(self, limit: int = 10) -> list[ClaimedJob]:
        return list((await self.claim(limit)).jobs)

    async def one(self) -> ClaimedJob:
        [job] = await self.take(1)
        return job

    async def settle(self, *outcomes: Outcome) -> list[Settled]:
        return await self.store.settle(outcomes)


async def hand(store: Store, worker: str = "w1", *, pod: str = "pod", nonce: str = "n") -> Hand:
    """Register a worker."""
    await store.register(WorkerInfo(worker, pod, nonce, 4, ("report",), "1"))
    return Hand(store, worker)


async def put(store: Store, *news: NewJob) -> list[JobId]:
    """Enqueue jobs that must be accepted; return their ids."""
    for answer in await store.enqueue(news):
        assert answer.status is EnqueueStatus.CREATED
    return [job.id for job in news]


async def look(store: Store, job_id: JobId) -> Job:
    """Return a job that must be there."""
    [found] = await store.get([job_id])
    assert found.job is not None
    return found.job


async def state_of(store: Store, job_id: JobId) -> State | None:
    """Return a job's state, None without a record."""
    [found] = await store.get([job_id])
    return found.job.state if found.job else None


async def settle_one(store: Store, outcome: Outcome) -> SettleStatus:
    """Settle one job."""
    [settled] = await store.settle([outcome])
    return settled.status


async def drain(store: Store, worker: Hand) -> list[JobId]:
    """Claim and complete everything that is ready; return the ids in the order they came."""
    order: list[JobId] = []
    while taken := await worker.take(1):
        order += [job.job.id for job in taken]
        await store.settle([jobs.complete(job.claim, DONE) for job in taken])
    return order


def claims(batch: ClaimBatch | Sequence[ClaimedJob]) -> list[Claim]:
    """Return the claims of a batch."""
    taken = batch.jobs if isinstance(batch, ClaimBatch) else batch
    return [job.claim for job in taken]


def policy(**changes: Any) -> Policy:
    """Return the tests' policy with changes; those of `retry` as `retry=RetryPolicy(...)`."""
    return msgspec.structs.replace(POLICY, **changes)


async def no_deliveries(store: Store, dead: int | None = None) -> None:
    """Wait until nothing is left to deliver, and `dead` deliveries were given up."""
    async with asyncio.timeout(30):
        while (status := await store.webhook_status()).pending or (  # noqa: ASYNC110
            dead not in (None, status.dead)
        ):
            await asyncio.sleep(0.01)


async def sweep_all(store: Store) -> Swept:
    """Sweep until nothing more is to be done; return the sums."""
    total = Swept()
    for _ in range(1_000):
        swept = await store.sweep()
        total = Swept(
            promoted=total.promoted + swept.promoted,
            expired=total.expired + swept.expired,
            removed=total.removed + swept.removed,
            corrupt=total.corrupt + swept.corrupt,
        )
        if not swept.more:
            return total
    raise AssertionError("the sweep does not end")
