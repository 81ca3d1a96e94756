"""The verbs of workers: register, settle, heartbeat, and taking back what they hold. claim.py has
the claim.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from asyncendpoints_core.errors import RecordError, WorkerGone
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import Claim
from asyncendpoints_core.store import message_layout as messages
from asyncendpoints_core.store.redis.batch_arguments import (
    encode_outcomes,
    encode_updates,
    encode_with_children,
)
from asyncendpoints_core.store.redis.claim import ids_of
from asyncendpoints_core.store.redis.python_layout import packer, reader
from asyncendpoints_core.store.redis.records import STATES
from asyncendpoints_core.store.redis.scripts import FIRST_SCHEMA, SCHEMA
from asyncendpoints_core.store.replies import (
    LeaseReply,
    Overdue,
    Recovery,
    Released,
    Settled,
    SettleStatus,
    Swept,
    WorkerInfo,
    WorkerState,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints_core.jobs.records import Outcome, Progress
    from asyncendpoints_core.store.redis.caller import Caller
    from asyncendpoints_core.store.replies import Cause, LeaseRenewal

MAX_CORDON_MS: Final = 30_000
_SETTLED: Final = {
    ord("a"): SettleStatus.APPLIED,
    ord("d"): SettleStatus.ALREADY,
    ord("s"): SettleStatus.STALE,
    ord("c"): SettleStatus.STALE,  # quarantined: no longer held
    ord("g"): SettleStatus.GONE,
}
_UNREADABLE: Final = ord("c")
# The reply of settle.lua to each outcome: how it was settled, and the job's state or "-".
_ANSWERS: Final = {
    b"%c%c" % (letter, digit): Settled(status, state)
    for letter, status in _SETTLED.items()
    for digit, state in ((45, None), *enumerate(STATES, 48))
}
_read_worker = reader(messages.WORKER, "lease held cordoned_until draining info")
_read_found = reader(messages.FOUND, "id claim attempt max_attempts worker")
_read_lease = reader(messages.LEASE, "gone cordoned held")
_read_claim = reader(messages.CLAIM, "id claim")
_pack_claim = packer(messages.CLAIM, "id claim")
_encode = msgspec.msgpack.Encoder().encode
_decode_info = msgspec.msgpack.Decoder(WorkerInfo).decode


class _Scripts(msgspec.Struct, frozen=True):
    """Of a registered worker, the schema of its scripts; versions that know one have none."""

    schema: int = FIRST_SCHEMA


_decode_schema = msgspec.msgpack.Decoder(_Scripts).decode


class WorkerVerbs:
    """Part of RedisStore."""

    _caller: Caller

    async def register(self, worker: WorkerInfo) -> None:
        """Begin a worker's lease."""
        info = msgspec.structs.asdict(worker) | {"schema": SCHEMA}
        if not await self._caller.run("register", worker.id.encode(), _encode(info)):
            raise WorkerGone(f"worker {worker.id} was registered before and its lease has ended")

    async def settle(self, outcomes: Sequence[Outcome]) -> list[Settled]:
        """Apply outcomes. A batch with a record that fails the script is halved to find and
        quarantine it; the worker halves for what never gets here, outcomes that cannot be encoded.
        """
        if not any(outcome.children for outcome in outcomes):
            return await self._settle(outcomes) if outcomes else []
        alone = [outcome for outcome in outcomes if not outcome.children]
        others = iter(await self._settle(alone) if alone else [])
        parents = [outcome for outcome in outcomes if outcome.children]
        answers = iter(await self._settle(parents, with_children=True))
        return [next(answers if outcome.children else others) for outcome in outcomes]

    async def _settle(
        self, outcomes: Sequence[Outcome], *, with_children: bool = False
    ) -> list[Settled]:
        try:
            if with_children:
                arguments = encode_with_children(outcomes)
                reply, _ = await self._caller.execute(
                    "settle_with_children", *arguments, featured=True
                )
            else:
                reply, _ = await self._caller.execute("settle", *encode_outcomes(outcomes))
        except RecordError:
            if len(outcomes) == 1:
                await self._caller.quarantine([outcomes[0].claim.job_id], whole=True)
                return [Settled(SettleStatus.STALE)]
            half = len(outcomes) // 2
            return [
                *await self._settle(outcomes[:half], with_children=with_children),
                *await self._settle(outcomes[half:], with_children=with_children),
            ]
        letters = reply[::2]
        if _UNREADABLE in letters:
            await self._caller.quarantine(
                [o.claim.job_id for o, x in zip(outcomes, letters, strict=True) if x == _UNREADABLE]
            )
        return [_ANSWERS[reply[at : at + 2]] for at in range(0, len(reply), 2)]

    async def progress(self, updates: Sequence[tuple[Claim, Progress]]) -> list[SettleStatus]:
        """Show progress of running jobs."""
        if not updates:
            return []
        letters = await self._caller.run("progress", *encode_updates(updates))
        await self._caller.quarantine(
            [c.job_id for (c, _), x in zip(updates, letters, strict=True) if x == _UNREADABLE]
        )
        return [_SETTLED[letter] for letter in letters]

    async def heartbeat(self, beats: Sequence[LeaseRenewal]) -> list[LeaseReply]:
        """Renew leases."""
        if not beats:
            return []
        draining = b"".join(b"1" if beat.draining else b"0" for beat in beats)
        replies = await self._caller.run(
            "heartbeat", draining, *(beat.worker.encode() for beat in beats)
        )
        return [_beat(beat.worker, reply) for beat, reply in zip(beats, replies, strict=True)]

    async def reconcile(self, worker: str, held: Sequence[Claim]) -> int:
        """Release what the store thinks `worker` holds and it does not."""
        known = b"".join(_pack_claim(claim.job_id, claim.number) for claim in held)
        released, unreadable = await self._caller.run("reconcile", worker.encode(), known)
        await self._caller.quarantine(ids_of(unreadable))
        return int(released)

    async def cordon(
        self, workers: Sequence[str], seconds: float, by: str
    ) -> list[WorkerState | None]:
        """Let workers claim nothing new for a time."""
        if not workers:
            return []
        ms = b"%d" % min(MAX_CORDON_MS, int(seconds * 1000))
        names = [worker.encode() for worker in workers]
        replies = await self._caller.run("cordon", by.encode(), ms, *names)
        pairs = zip(workers, replies, strict=True)
        return [_worker(worker, reply) if reply else None for worker, reply in pairs]

    async def uncordon(self, workers: Sequence[str], by: str) -> None:
        """Take back `by`'s cordon."""
        if workers:
            names = [worker.encode() for worker in workers]
            await self._caller.run("uncordon", by.encode(), *names)

    async def release_worker(
        self,
        worker: str,
        cause: Cause,
        started: Sequence[JobId] | None = None,
        how: str = "",
    ) -> Released:
        """End a worker's registration and take back what it holds."""
        *figures, more, unreadable = await self._caller.run(
            "release_worker",
            worker.encode(),
            cause.encode(),
            b"0" if started is None else b"1",
            b"".join(started or ()),
            how.encode(),
        )
        corrupt = await self._caller.quarantine(ids_of(unreadable))
        requeued, charged, suspected, failed, canceled = figures
        return Released(requeued, charged, suspected, failed + corrupt, canceled, bool(more))

    async def workers(self) -> list[WorkerState]:
        """Return every registered worker, by id."""
        reply = await self._caller.run("workers")
        pairs = zip(reply[::2], reply[1::2], strict=True)
        found = [_worker(worker.decode(errors="replace"), state) for worker, state in pairs]
        return sorted(found, key=lambda state: state.info.id)

    async def recover(self) -> Recovery:
        """Write the tick and find what needs recovering."""
        outage, expired, overdue, orphaned, unreadable = await self._caller.run("recover")
        await self._caller.quarantine(ids_of(unreadable))
        damaged: list[JobId] = []
        late, lost = _claims(overdue, damaged), _claims(orphaned, damaged)
        await self._caller.quarantine(damaged, whole=True)
        return Recovery(
            tuple(worker.decode() for worker in expired),
            tuple(Overdue(*each) for each in late),
            tuple(claim for claim, _, _ in lost),
            bool(outage),
        )

    async def sweep(self) -> Swept:
        """Promote, expire, remove and forget, a bounded number each."""
        promoted, expired, removed, corrupt, more = await self._caller.run("sweep")
        return Swept(promoted, expired, removed, corrupt, bool(more))


def _beat(worker: str, reply: bytes) -> LeaseReply:
    gone, cordoned, held = _read_lease(reply)
    cancels = []
    for at in range(messages.LEASE.size, len(reply), messages.CLAIM.size):
        job_id, number = _read_claim(reply, at)
        cancels.append(Claim(JobId(job_id), number, worker))
    return LeaseReply(bool(gone), held, cordoned=bool(cordoned), cancels=tuple(cancels))


def _worker(worker: str, reply: bytes) -> WorkerState:
    lease, held, cordoned, draining, packed = _read_worker(reply)
    try:
        info, outdated = _decode_info(packed), _decode_schema(packed).schema < SCHEMA
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # Of a live worker only its id is known.
        info, outdated = WorkerInfo(worker, "", "", 0), False
    return WorkerState(info, lease, held, cordoned, bool(draining), outdated)


def _claims(entries: list[bytes], damaged: list[JobId]) -> list[tuple[Claim, int, int]]:
    """Return the claims that were found; adds the ids of those whose worker is no text."""
    found = []
    for entry in entries:
        job_id, number, attempt, limit, worker = _read_found(entry)
        try:
            found.append((Claim(JobId(job_id), number, worker.decode()), attempt, limit))
        except UnicodeDecodeError:
            damaged.append(JobId(job_id))
    return found
