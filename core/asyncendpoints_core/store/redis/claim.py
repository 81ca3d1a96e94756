"""The verb that claims jobs, at once or behind a wait for the doorbell: its calls and its reply."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec
from redis import exceptions as redis_errors

from asyncendpoints_core.errors import StoreError, StoreUnavailable, WorkerGone
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import Claim, ClaimedJob
from asyncendpoints_core.store import record_layout as tables
from asyncendpoints_core.store.redis.codec import Context, decode_request
from asyncendpoints_core.store.redis.python_layout import CorruptRecord, NewerRecord
from asyncendpoints_core.store.redis.records import just_claimed, read_made, read_run
from asyncendpoints_core.store.replies import MAX_BATCH, MAX_BATCH_BYTES, ClaimBatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from redis.asyncio.connection import AbstractConnection

    from asyncendpoints_core.store.redis.caller import Caller

# How much longer than the wait itself the reply to a blocking pop may take.
GRACE_SECONDS: Final = 2.0
# Redis before 7.0 rounds the timeout of a pop down to milliseconds, and 0 means no timeout.
SHORTEST_SECONDS: Final = 0.002
_FAULTS: Final = (redis_errors.RedisError, OSError)
_ID_SIZE: Final = tables.IDS.size
_MAX_BATCH_BYTES: Final = b"%d" % MAX_BATCH_BYTES
# The kinds of granted jobs in the reply of claim.lua.
_WITH_RUN: Final = frozenset(b"rR")
_WITH_BODY: Final = frozenset(b"FR")


class ClaimVerbs:
    """Part of RedisStore."""

    _caller: Caller
    _doorbell: Doorbell

    async def claim(self, worker: str, request: int, limit: int) -> ClaimBatch:
        """Take up to `limit` jobs. Never resent here: the caller repeats `request`."""
        args = _claiming(worker, request, limit, woken=worker in self._doorbell.woken)
        reply, _ = await self._caller.execute("claim", *args, again=False)
        self._doorbell.woken.discard(worker)
        return await self._batch(worker, reply)

    async def wait_for_work(self, worker: str, timeout_ms: int) -> bool:
        """Sleep until woken or the time is over."""
        return await self._doorbell.wait(worker, timeout_ms) is not None

    async def claim_next(
        self, worker: str, request: int, limit: int, timeout_ms: int
    ) -> ClaimBatch:
        """Send the claim behind the wait: Redis runs it as soon as the wait ends, which saves the
        round trip between the two (docs/adr/0007).
        """
        claim = self._caller.packed("claim", *_claiming(worker, request, limit, woken=True))
        reply = await self._doorbell.wait(worker, timeout_ms, claim)
        if reply is None:  # not allowed to wait, or the claim itself was refused: see why
            return await self.claim(worker, request, limit)
        self._doorbell.woken.discard(worker)
        return await self._batch(worker, reply)

    async def _batch(self, worker: str, reply: list[Any]) -> ClaimBatch:
        raw, word, *rest = reply
        if word == b"gone":
            raise WorkerGone(f"worker {worker} has no live lease")
        flags, due, ids, kinds, first, deadline, *records = rest
        granted = _Granted(worker, Context.read(raw), int(first), int(deadline))
        jobs, unreadable = granted.read(ids, kinds, iter(records))
        if unreadable:
            await self._caller.quarantine(unreadable, whole=True)
        return ClaimBatch(
            tuple(jobs),
            more=flags[0] == 49,
            next_due_ms=int(due) if due[0] != 45 else None,
            stop_claiming=flags[1] == 49,
            exclusive=flags[2] == 49 and bool(jobs),
            refused="" if word == b"ok" else word.decode(),
        )


def _claiming(worker: str, request: int, limit: int, *, woken: bool) -> tuple[bytes, ...]:
    """Return the arguments of the script `claim`."""
    numbers = b"%d" % request, b"%d" % min(limit, MAX_BATCH), _MAX_BATCH_BYTES
    return worker.encode(), *numbers, b"1" if woken else b"0"


class Doorbell:
    """The waits of one store's workers; idle connections are kept for the next wait."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._idle: list[AbstractConnection] = []
        self._busy: set[AbstractConnection] = set()
        self._forwarding: set[asyncio.Task[None]] = set()
        self._closed = False
        # Workers that were woken and have not claimed since: a refused claim forwards the wake-up.
        self.woken: set[str] = set()

    def open(self) -> None:
        """Allow waits, also after `close`."""
        self._closed = False

    async def wait(self, worker: str, timeout_ms: int, then: bytes = b"") -> Any:
        """Wait for a wake-up; return True, or None if there was none in time.

        With `then`, a packed command, return its reply once the wait is over, or None if `worker`
        must not wait or the command was refused.
        """
        if timeout_ms <= 0:
            return None
        time = self._caller.connection.time
        began = time.monotonic()
        if not await self._caller.run("wait", worker.encode(), b"%d" % timeout_ms):
            await time.sleep(timeout_ms / 1000)
            return None
        left = timeout_ms / 1000 - (time.monotonic() - began)
        try:
            answer = await self._listen(max(SHORTEST_SECONDS, left), then)
        except asyncio.CancelledError:
            self._forward(worker)
            raise
        # Without `then`: also one whose wait ended in time, since it may be there for a due job.
        if answer is not None or not then:
            self.woken.add(worker)
        return answer

    async def _listen(self, seconds: float, then: bytes) -> Any:
        """Pop a wake-up, on a connection kept from an earlier wait if it still works."""
        while self._idle:
            kept = self._idle.pop()
            if not kept.is_connected:
                continue  # redis-py would connect to the same server again, whatever it is now
            try:
                return await self._pop(kept, seconds, then)
            except TimeoutError as error:
                raise self._caller.connection.store_error(error) from error
            except _FAULTS as error:
                # The kept connection broke, or its server moved; `then` may have run there.
                if then:
                    raise self._caller.connection.store_error(error) from error
        try:
            return await self._pop(await self._connect(), seconds, then)
        except (*_FAULTS, TimeoutError) as error:
            raise self._caller.connection.store_error(error) from error

    async def _pop(self, connection: AbstractConnection, seconds: float, then: bytes) -> Any:
        self._busy.add(connection)
        whole = False
        pop = connection.pack_command("BLPOP", self._caller.prefix + "bell", f"{seconds:.3f}")
        try:
            await _send(connection, [*pop, then] if then else pop)
            # redis-py's own timeout would return None, as an empty pop does.
            async with self._caller.connection.time.timeout(seconds + GRACE_SECONDS):
                answer = await connection.read_response(timeout=math.inf)
                if then:
                    answer = await _answer(connection)
            whole = True
        finally:
            self._busy.discard(connection)
            if whole and not self._closed:
                self._idle.append(connection)
            else:
                await connection.disconnect(nowait=True)
        return answer if then or answer is None else True

    async def _connect(self) -> AbstractConnection:
        if self._closed:
            raise StoreUnavailable("the store was closed")
        return await self._caller.connection.dedicated(self._caller.prefix + "meta")

    def _forward(self, worker: str) -> None:
        """Forward a wake-up that may have been popped without its reply being read."""

        async def forward() -> None:
            with suppress(StoreError):
                await self._caller.run("stop_waiting", worker.encode())

        task = asyncio.get_running_loop().create_task(forward())
        self._forwarding.add(task)
        task.add_done_callback(self._forwarding.discard)

    async def close(self) -> None:
        """End every wait with StoreUnavailable."""
        self._closed = True
        if self._forwarding:
            await asyncio.wait(set(self._forwarding), timeout=1)
        for connection in (*self._idle, *self._busy):
            await connection.disconnect(nowait=True)
        self._idle.clear()


async def _send(connection: AbstractConnection, packed: Sequence[bytes]) -> None:
    """Send packed commands. Raises redis-py's ConnectionError."""
    try:
        await connection.send_packed_command(packed, check_health=False)
    except RuntimeError as error:
        # uvloop's, for a transport that is closed; asyncio's own lets the reader find out.
        raise redis_errors.ConnectionError("the connection is closed") from error


async def _answer(connection: AbstractConnection) -> Any:
    """Read the reply to the command behind a pop; None for an error reply."""
    try:
        return await connection.read_response(timeout=math.inf, disconnect_on_error=False)
    except redis_errors.ResponseError:
        return None


class _Granted(msgspec.Struct, frozen=True):
    """What the jobs of a claim share; for those claimed for the first time, their whole run."""

    worker: str
    context: Context
    first: int
    deadline_ms: int

    def read(
        self, ids: bytes, kinds: bytes, records: Iterator[bytes]
    ) -> tuple[list[ClaimedJob], list[JobId]]:
        """Return the claimed jobs, and the ids of those that cannot be read."""
        jobs, unreadable = [], []
        worker, now, deadline, number = self.worker, self.context.now_ms, 0, self.first
        for job_id, kind in zip(ids_of(ids), kinds, strict=True):
            data = next(records)
            # The kind says what belongs to a job: its record may be unreadable.
            run = next(records) if kind in _WITH_RUN else None
            blob = next(records) if kind in _WITH_BODY else None
            try:
                made = read_made(data)
                if run is None:
                    job = just_claimed(job_id, made, number, worker, now)
                    deadline = self.deadline_ms
                else:
                    job, deadline = read_run(job_id, made, run, self.context)
                if (None if blob is None else len(blob)) != made.blob_bytes:
                    raise CorruptRecord
                request = decode_request(data[made.end :], made.traceparent, blob)
            except CorruptRecord:
                unreadable.append(job_id)
            except NewerRecord:
                pass  # left alone, as the script does; it is reconciled as a job that is not held
            else:
                claim = Claim(job_id, job.claim, worker)
                jobs.append(ClaimedJob(claim, job, request, deadline))
            number += 1
        return jobs, unreadable


def ids_of(data: bytes) -> list[JobId]:
    """Return the ids in a reply."""
    return [JobId(data[at : at + _ID_SIZE]) for at in range(0, len(data), _ID_SIZE)]
