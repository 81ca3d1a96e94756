"""Keeps the leases of the engines of one process: registers, beats, passes on what is answered.

It runs where no handler can hold it up: in the supervisor, or beside an in-process engine. Only its
answer `gone` makes an engine abandon its work, never an unreachable store (docs/rules.md S1).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final, Protocol

from asyncendpoints_core.common.backoff import Backoff
from asyncendpoints_core.errors import StoreError, StoreVersionError, WorkerGone
from asyncendpoints_core.store.protocol import Beat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from asyncendpoints_core.jobs.policy import Policy
    from asyncendpoints_core.jobs.records import Claim
    from asyncendpoints_core.store.protocol import BeatReply, Store, WorkerInfo

log = logging.getLogger("asyncendpoints.worker")

INTERVAL: Final = 0.5
POLICY_INTERVAL: Final = 5.0
STRANGE_BEATS: Final = 4
"""Beats in a row in which the store counts more jobs than the engine before they are compared."""


class Member(Protocol):
    """One engine, near or in a child. `worker` is empty while it has no lease."""

    worker: str
    draining: bool
    strange_beats: int

    @property
    def held(self) -> int:
        """How many jobs it knows it holds."""
        ...

    def info(self) -> WorkerInfo | None:
        """Return the incarnation to register, or None while there is none to begin."""
        ...

    def registered(self, worker: str) -> None:
        """Begin as `worker`."""
        ...

    def refused(self) -> None:
        """Make another id: the one of `info` was used before."""
        ...

    def gone(self) -> None:
        """Abandon everything: the lease is lost."""
        ...

    def cancel(self, claims: Sequence[Claim]) -> None:
        """End these attempts; told again at each beat until they are settled."""
        ...

    def reconcile(self) -> None:
        """Compare what the store thinks is held with what is."""
        ...

    def follow(self, policy: Policy) -> None:
        """Decide by this policy from now on."""
        ...


class Heart:
    """Beats every half second for every member."""

    def __init__(
        self, store: Store, policy: Policy, members: Callable[[], Iterable[Member]]
    ) -> None:
        """Keep the leases of `members()`; `policy` is what is in force at the start."""
        self._store = store
        self._members = members
        self._now = asyncio.Event()
        self._policy_due = 0.0
        self.policy = policy
        # What the store says since it is of another format: nothing will be taken from us again.
        self.refused: StoreVersionError | None = None

    def beat_now(self) -> None:
        """Do not wait for the next half second."""
        self._now.set()

    async def run(self) -> None:
        """Beat until cancelled; an unreachable store is tried again, with growing pauses."""
        loop = asyncio.get_running_loop()
        backoff, reachable = Backoff(0.1), True
        while True:
            self._now.clear()
            try:
                await self.beat()
                await self._follow_policy(loop.time())
            except StoreError as error:
                if isinstance(error, StoreVersionError):
                    self.refused = error
                if reachable:
                    log.warning("no heartbeat: %s", error)
                reachable = False
                await asyncio.sleep(backoff.next())
                continue
            if not reachable:
                log.info("the store takes heartbeats again")
                reachable = True
                backoff.reset()
            # Not wait_for: on Python 3.11 it can lose a cancel that comes with the wake-up.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL):
                    await self._now.wait()

    async def beat(self) -> None:
        """Register who is new, then renew every lease. Raises StoreError."""
        for member in list(self._members()):
            await self._register(member)
        alive = [member for member in self._members() if member.worker]
        if not alive:
            return
        beats = [Beat(each.worker, each.held, each.draining) for each in alive]
        replies = await self._store.heartbeat(beats)
        present = set(map(id, self._members()))  # one may have ended while the store was asked
        for member, beat, reply in zip(alive, beats, replies, strict=True):
            if id(member) in present and member.worker == beat.worker:
                self._tell(member, reply)

    async def _register(self, member: Member) -> None:
        if member.worker:
            return
        info = member.info()
        if info is None:
            return
        try:
            await self._store.register(info)
        except WorkerGone:
            member.refused()
            self.beat_now()
        else:
            member.registered(info.id)

    def _tell(self, member: Member, reply: BeatReply) -> None:
        if reply.gone:
            member.gone()
            return
        if reply.cancels:
            member.cancel(reply.cancels)
        if reply.held <= member.held:
            member.strange_beats = 0
            return
        member.strange_beats += 1
        if member.strange_beats >= STRANGE_BEATS:
            member.strange_beats = 0
            member.reconcile()

    async def _follow_policy(self, now: float) -> None:
        """Read the policy in force, which an operator may have changed, every few seconds."""
        if now < self._policy_due:
            return
        self._policy_due = now + POLICY_INTERVAL
        self.follow(await self._store.configure(self.policy, overwrite=False))

    def follow(self, policy: Policy) -> None:
        """Let every member decide by this policy from now on."""
        if policy != self.policy:
            self.policy = policy
            for member in self._members():
                member.follow(policy)
