"""One child process as its supervisor sees it: started, watched, told, killed."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from asyncendpoints_worker.engine.slots import Stop
from asyncendpoints_worker.metrics import Snapshot
from asyncendpoints_worker.supervisor import ipc, reaper, run_status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncendpoints_core.jobs.policy import Policy
    from asyncendpoints_core.jobs.records import Claim
    from asyncendpoints_core.store.protocol import WorkerInfo
    from asyncendpoints_worker.identity import Names
    from asyncendpoints_worker.supervisor.crash_report import Culprit
    from asyncendpoints_worker.supervisor.run_status import Running

log = logging.getLogger("asyncendpoints.worker")

CANCEL_SECONDS: Final = 5.0
"""How long a handler may ignore a cancel, or the loss of its lease, before its process ends."""
LOOKS: Final = 4
"""Looks in a row that must find a child due for its end. After a machine was held still, both
processes go on at once, and the child is to get the first word."""


class Offspring:
    """A child process. As a Member it is also one engine of the supervisor's heart."""

    def __init__(self, names: Names, init: ipc.Init, beat_now: Callable[[], None]) -> None:
        """Start the process; `converse` then speaks with it."""
        self.number = names.child()
        self.worker = ""
        self.draining = False
        self.strange_beats = 0
        self.generation = 0  # counted as the child's engine counts, for what stands on the board
        self.handlers: tuple[str, ...] = ()
        self.ready = False
        self.refused_because: str | None = None
        self.figures = Snapshot({}, {}, {})
        self.culprits: list[Culprit] = []
        self.killed = False
        self.born = time.monotonic()
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.buried: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._names = names
        self._init = init
        self._beat_now = beat_now
        self._cancels: dict[int, float] = {}
        self._lost_at: float | None = None
        self._due = 0
        self._incarnation = 0
        self._channel: ipc.Channel[ipc.ToSupervisor] | None = None
        self._unsent: list[ipc.ToChild] = [init]
        self.tag = f"{names.nonce}.{self.number}"
        self._start()

    def _start(self) -> None:
        descriptor = run_status.create(self._init.concurrency)
        self._board = run_status.BoardView(descriptor)
        self._control, theirs = socket.socketpair()
        end, self._lifeline = os.pipe()
        passed = (theirs.fileno(), descriptor, end)
        arguments = [str(each) for each in (*passed, os.getpid())]
        try:
            # Spawned, not forked: this process has threads and connections no child may share.
            process = subprocess.Popen(  # noqa: S603  # our own module
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "asyncendpoints_worker.supervisor.child_main",
                    *arguments,
                ],
                pass_fds=passed,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, reaper.VARIABLE: self.tag},
            )
        finally:
            theirs.close()
            os.close(end)
        self.pid = process.pid
        # The supervisor reaps every child by itself; Popen must not, nor complain about it.
        process.returncode = 0

    async def converse(self) -> None:
        """Take what the child says until it ends."""
        self._channel = await ipc.open_channel(self._control, ipc.ToSupervisor)
        for message in self._unsent:
            self._channel.send(message)
        self._unsent.clear()
        while (said := await self._channel.receive()) is not None:
            match said:
                case ipc.Ready(handlers):
                    self.handlers, self.ready = handlers, True
                    self._beat_now()
                case ipc.Refused(why):
                    self.refused_because = why
                case ipc.Doubt():
                    self._beat_now()
                case ipc.Vacated():
                    self.worker, self._lost_at = "", None
                    self._beat_now()
                case ipc.Figures(snapshot):
                    self.figures = snapshot

    def send(self, message: ipc.ToChild) -> None:
        """Tell the child something."""
        if self._channel is None:
            self._unsent.append(message)
        else:
            self._channel.send(message)

    def close(self) -> None:
        """Let go of what was shared with the process, which has ended."""
        if self._channel is None:
            self._control.close()
        else:
            self._channel.close()
        os.close(self._lifeline)
        self._board.close()

    # Watching.

    def running(self) -> list[Running]:
        """Return what the present incarnation runs at this moment."""
        found = self._board.running(self.worker)
        return [each for each in found if each.generation == self.generation]

    def left(self) -> tuple[list[Running], list[Culprit]]:
        """Return what it ran when it died, and for which of these it was killed."""
        running = self.running()
        present = {each.claim.number for each in running}
        return running, [one for one in self.culprits if one[0].claim.number in present]

    def inspect(self, now: float, grace: float, idle_seconds: float) -> None:
        """Kill the process if only that can end what it should have ended (docs/rules.md S13).

        `now` is monotonic time; `grace` how long past its deadline an attempt may still end.
        """
        if not self.ready or self.killed or self.ended.done():
            return
        culprits = self._overstayers(now, grace)
        abandoned = self._lost_at is not None and now > self._lost_at + CANCEL_SECONDS
        silent = now - self._board.tick > idle_seconds and not self._board.running("")
        self._due = self._due + 1 if culprits or abandoned or silent else 0
        if self._due < LOOKS:
            return
        if silent and not culprits:
            log.error("child %d gives no sign of life; ending it", self.pid)
        else:
            log.error("child %d runs what does not end; ending it", self.pid)
        self.kill(culprits)

    def _overstayers(self, now: float, grace: float) -> list[Culprit]:
        found = []
        for each in self.running():
            told = self._cancels.get(each.claim.number)
            if told is not None and now > told + CANCEL_SECONDS:
                found.append((each, Stop.CANCEL))
            elif now > each.deadline + grace:
                found.append((each, Stop.TIMEOUT))
        return found

    def kill(self, culprits: list[Culprit] | None = None) -> None:
        """End the process and its group at once; `culprits` are settled when it is dead."""
        if not self.ended.done():  # its number may be another's by then
            self.killed = True
            self.culprits = culprits or []
            reaper.kill_group(self.pid)

    # The heart's member.

    @property
    def held(self) -> int:
        """See Member."""
        return self._board.held

    def info(self) -> WorkerInfo | None:
        """See Member."""
        if not self.ready or self.draining or self.ended.done() or self._lost_at is not None:
            return None
        return self._names.info(
            self.number, self._incarnation, self._init.concurrency, self.handlers
        )

    def registered(self, worker: str) -> None:
        """See Member."""
        self.worker = worker
        self.send(ipc.Assign(worker))

    def refused(self) -> None:
        """See Member."""
        self._incarnation += 1

    def gone(self) -> None:
        """See Member."""
        if self._lost_at is None:
            self._lost_at = time.monotonic()
            self.generation += 1
            self._incarnation += 1
            self.send(ipc.Gone(self.worker))

    def cancel(self, claims: Sequence[Claim]) -> None:
        """See Member."""
        now = time.monotonic()
        asked = [claim.number for claim in claims]
        self._cancels = {number: self._cancels.get(number, now) for number in asked}
        self.send(ipc.Cancel(asked))  # again each time: the claim may have been on its way

    def reconcile(self) -> None:
        """See Member."""
        self.send(ipc.Reconcile())

    def follow(self, policy: Policy) -> None:
        """See Member."""
        self._init.policy = policy
        self.send(ipc.Follow(policy))

    def drain(self) -> None:
        """Let the child claim nothing more and end when it is done."""
        self.draining = True
        self.send(ipc.Drain())
