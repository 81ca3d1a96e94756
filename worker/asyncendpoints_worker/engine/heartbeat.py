"""Renews the leases of the engines of one process: registers, sends heartbeats, passes on replies.

It runs where no handler can block it: in the supervisor, or beside an in-process engine. Only the
reply that a lease is lost makes an engine abandon its work, never an unreachable store
(docs/rules.md S1).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final, Protocol

from asyncendpoints_core.common.backoff import Backoff
from asyncendpoints_core.errors import StoreError, StoreVersionError, WorkerGone
from asyncendpoints_core.store.replies import LeaseRenewal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.jobs.policy import Policy
    from asyncendpoints_core.jobs.records import Claim
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_core.store.replies import LeaseReply, WorkerInfo

log = logging.getLogger("asyncendpoints.worker")

INTERVAL_SECONDS: Final = 0.5
POLICY_SECONDS: Final = 5.0
EXCESS_BEATS: Final = 4
"""Consecutive heartbeats in which the store counts more jobs than the engine before both lists are
compared."""


class LeaseHolder(Protocol):
    """An engine whose lease is renewed, here or in a child. `worker` is empty without a lease.

    `excess_beats` is the heartbeat's: how often in a row the store counted more jobs than `held`.
    """

    worker: str
    draining: bool
    excess_beats: int

    @property
    def held(self) -> int:
        """How many jobs it knows it holds."""
        ...

    def info(self) -> WorkerInfo | None:
        """Return the worker to register, or None if there is nothing to register now."""
        ...

    def registered(self, worker: str) -> None:
        """Start claiming as `worker`."""
        ...

    def id_taken(self) -> None:
        """Choose another id: that of `info` was used before."""
        ...

    def lease_lost(self) -> None:
        """Abandon everything."""
        ...

    def cancel(self, claims: Sequence[Claim]) -> None:
        """Stop these attempts; repeated with each heartbeat until they are settled."""
        ...

    def reconcile(self) -> None:
        """Compare what the store counts as held with what is."""
        ...

    def apply_policy(self, policy: Policy) -> None:
        """Decide by this policy from now on."""
        ...


class LeaseKeeper(Protocol):
    """What an engine needs of the side that renews its lease."""

    def check_lease(self, worker: str) -> None:
        """Check now whether `worker` has lost its lease: the store refused a claim of it."""
        ...

    def register_again(self) -> None:
        """Register a new worker id: nothing runs any more under the one that lost its lease."""
        ...


class Heartbeat:
    """Sends a heartbeat every half second for all lease holders."""

    def __init__(
        self,
        store: Store,
        time: TimeSource,
        policy: Policy,
        holders: Callable[[], Iterable[LeaseHolder]],
    ) -> None:
        """Renew the leases of `holders()`; `policy` is the one in force at the start."""
        self._store = store
        self._time = time
        self._holders = holders
        self._due = asyncio.Event()
        self._policy_due = 0.0
        self.policy = policy
        self.store_refused: StoreVersionError | None = None
        """Set once the store is of another format: it will accept nothing more from here."""

    def beat_now(self) -> None:
        """Send the next heartbeat without waiting for the half second to pass."""
        self._due.set()

    async def run(self) -> None:
        """Send heartbeats until canceled; an unreachable store is retried with backoff."""
        backoff, reachable = Backoff(0.1), True
        while True:
            self._due.clear()
            try:
                await self.beat()
                await self._read_policy(self._time.monotonic())
            except StoreError as error:
                if isinstance(error, StoreVersionError):
                    self.store_refused = error
                if reachable:
                    log.warning("heartbeat failed: %s", error)
                reachable = False
                await self._time.sleep(backoff.next())
                continue
            if not reachable:
                log.info("the store accepts heartbeats again")
                reachable = True
                backoff.reset()
            # Not wait_for: on Python 3.11 it can lose a cancel that coincides with the wake-up.
            with contextlib.suppress(TimeoutError):
                async with self._time.timeout(INTERVAL_SECONDS):
                    await self._due.wait()

    async def beat(self) -> None:
        """Register new holders, then renew every lease. Raises StoreError."""
        for holder in list(self._holders()):
            await self._register(holder)
        alive = [holder for holder in self._holders() if holder.worker]
        if not alive:
            return
        beats = [LeaseRenewal(each.worker, each.held, each.draining) for each in alive]
        replies = await self._store.heartbeat(beats)
        present = set(map(id, self._holders()))  # one may have ended during the call
        for holder, beat, reply in zip(alive, beats, replies, strict=True):
            if id(holder) in present and holder.worker == beat.worker:
                self._pass_on(holder, reply)

    async def _register(self, holder: LeaseHolder) -> None:
        if holder.worker:
            return
        info = holder.info()
        if info is None:
            return
        try:
            await self._store.register(info)
        except WorkerGone:
            holder.id_taken()
            self.beat_now()
        else:
            holder.registered(info.id)

    def _pass_on(self, holder: LeaseHolder, reply: LeaseReply) -> None:
        if reply.gone:
            holder.lease_lost()
            return
        if reply.cancels:
            holder.cancel(reply.cancels)
        if reply.held <= holder.held:
            holder.excess_beats = 0
            return
        holder.excess_beats += 1
        if holder.excess_beats >= EXCESS_BEATS:
            holder.excess_beats = 0
            holder.reconcile()

    async def _read_policy(self, now: float) -> None:
        """Read the policy in force, which an operator may have changed, every few seconds."""
        if now < self._policy_due:
            return
        self._policy_due = now + POLICY_SECONDS
        self.apply_policy(await self._store.configure(self.policy, overwrite=False))

    def apply_policy(self, policy: Policy) -> None:
        """Make every holder decide by this policy from now on."""
        if policy != self.policy:
            self.policy = policy
            for holder in self._holders():
                holder.apply_policy(policy)
