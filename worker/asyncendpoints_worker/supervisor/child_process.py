"""One child process as its supervisor sees it: started, watched, instructed, killed."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from asyncendpoints_worker.engine import run_status
from asyncendpoints_worker.handlers.attempt import Stop
from asyncendpoints_worker.metrics import Snapshot
from asyncendpoints_worker.supervisor import ipc, reaper
from asyncendpoints_worker.supervisor.crash_report import StuckAttempt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.jobs.policy import Policy
    from asyncendpoints_core.jobs.records import Claim
    from asyncendpoints_core.store.replies import WorkerInfo
    from asyncendpoints_worker.engine.run_status import Running
    from asyncendpoints_worker.identity import WorkerIds

log = logging.getLogger("asyncendpoints.worker")

STOP_SECONDS: Final = 5.0
"""How long a handler may ignore a cancel, or the loss of its lease, before its process is killed.
"""
CHECKS: Final = 4
"""Consecutive checks that must find a reason to kill a child. After the machine was suspended both
processes resume at once, and the child must have time to report before it is judged."""


class ChildProcess:
    """A child process; also the LeaseHolder of the engine in it."""

    def __init__(
        self, ids: WorkerIds, init: ipc.Init, time: TimeSource, beat_now: Callable[[], None]
    ) -> None:
        """Start the process; `receive` then handles its messages."""
        self.number = ids.new_child()
        self.worker = ""
        self.draining = False
        self.excess_beats = 0
        self.generation = 0  # as the child's engine counts it on the run status page
        self.handlers: tuple[str, ...] = ()
        self.ready = False
        self.startup_error: str | None = None
        self.metrics = Snapshot({}, {}, {})
        self.stuck: list[StuckAttempt] = []
        self.killed = False
        self.started_at = time.monotonic()
        self._time = time
        loop = asyncio.get_running_loop()
        self.exit_status: asyncio.Future[int] = loop.create_future()
        self.removed: asyncio.Future[None] = loop.create_future()
        self._ids = ids
        self._init = init
        self._beat_now = beat_now
        self._canceled_at: dict[int, float] = {}
        self._lost_at: float | None = None
        self._failed_checks = 0
        self._id_generation = 0
        self._channel: ipc.Channel[ipc.ToSupervisor] | None = None
        self._unsent: list[ipc.ToChild] = [init]
        self.tag = f"{ids.nonce}.{self.number}"
        self._start()

    def _start(self) -> None:
        descriptor = run_status.create(self._init.concurrency)
        self._status = run_status.RunStatusView(descriptor)
        self._control, control = socket.socketpair()
        death_pipe, self._death_pipe = os.pipe()
        passed = (control.fileno(), descriptor, death_pipe)
        module = "asyncendpoints_worker.supervisor.child_main"
        try:
            # Spawned, not forked: this process has threads and connections no child may share.
            process = subprocess.Popen(  # noqa: S603  # our own module
                [sys.executable, "-P", "-m", module, *map(str, passed), str(os.getpid())],
                pass_fds=passed,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, reaper.VARIABLE: self.tag},
            )
        finally:
            control.close()
            os.close(death_pipe)
        self.pid = process.pid
        # The supervisor reaps every child itself; Popen must not, nor complain about it.
        process.returncode = 0

    async def receive(self) -> None:
        """Handle the child's messages until it ends."""
        self._channel = await ipc.open_channel(self._control, ipc.ToSupervisor)
        for message in self._unsent:
            self._channel.send(message)
        self._unsent.clear()
        while (received := await self._channel.receive()) is not None:
            match received:
                case ipc.Ready(handlers):
                    self.handlers, self.ready = handlers, True
                    self._beat_now()
                case ipc.StartupFailed(reason):
                    self.startup_error = reason
                case ipc.CheckLease():
                    self._beat_now()
                case ipc.RegisterAgain():
                    self.worker, self._lost_at = "", None
                    self._beat_now()
                case ipc.MetricsReport(snapshot):
                    self.metrics = snapshot
        self._channel.close()  # if the child still runs, it ends once it notices

    def send(self, message: ipc.ToChild) -> None:
        """Send the child a message, as soon as it is connected."""
        if self._channel is None:
            self._unsent.append(message)
        else:
            self._channel.send(message)

    def close(self) -> None:
        """Release what was shared with the process, which has ended."""
        if self._channel is None:
            self._control.close()
        else:
            self._channel.close()
        os.close(self._death_pipe)
        self._status.close()

    # Watching.

    def running(self) -> list[Running]:
        """Return the attempts that run under the current worker id."""
        found = self._status.running(self.worker)
        return [each for each in found if each.generation == self.generation]

    def last_attempts(self) -> tuple[list[Running], list[StuckAttempt]]:
        """Return what ran when the process died, and for which of these it was killed."""
        running = self.running()
        numbers = {each.claim.number for each in running}
        return running, [each for each in self.stuck if each.running.claim.number in numbers]

    def check(self, now: float, grace: float, idle_seconds: float) -> None:
        """Kill the process if nothing else can end what it should have ended (docs/rules.md S13).

        `now` is monotonic time; `grace` is how long past its deadline an attempt may still end.
        """
        if not self.ready or self.killed or self.exit_status.done():
            return
        stuck = self._stuck(now, grace)
        abandoned = self._lost_at is not None and now > self._lost_at + STOP_SECONDS
        hung = now - self._status.tick > idle_seconds and not self._status.running("")
        self._failed_checks = self._failed_checks + 1 if stuck or abandoned or hung else 0
        if self._failed_checks < CHECKS:
            return
        if hung and not stuck:
            log.error("child %d does not respond; killing it", self.pid)
        else:
            log.error("child %d runs an attempt that does not end; killing it", self.pid)
        self.kill(stuck)

    def _stuck(self, now: float, grace: float) -> list[StuckAttempt]:
        found = []
        for each in self.running():
            canceled_at = self._canceled_at.get(each.claim.number)
            if canceled_at is not None and now > canceled_at + STOP_SECONDS:
                found.append(StuckAttempt(each, Stop.CANCEL))
            elif now > each.deadline + grace:
                found.append(StuckAttempt(each, Stop.TIMEOUT))
        return found

    def kill(self, stuck: list[StuckAttempt] | None = None) -> None:
        """Kill the process and its group; the `stuck` attempts are settled when it is dead."""
        if not self.exit_status.done():  # its pid may have been reused by then
            self.killed = True
            self.stuck = stuck or []
            reaper.kill_group(self.pid)

    # LeaseHolder.

    @property
    def held(self) -> int:
        """See LeaseHolder."""
        return self._status.held

    def info(self) -> WorkerInfo | None:
        """See LeaseHolder."""
        ended = self.draining or self.exit_status.done()
        if not self.ready or ended or self._lost_at is not None:
            return None
        return self._ids.info(
            self.number, self._id_generation, self._init.concurrency, self.handlers
        )

    def registered(self, worker: str) -> None:
        """See LeaseHolder."""
        self.worker = worker
        self.send(ipc.Assign(worker))

    def id_taken(self) -> None:
        """See LeaseHolder."""
        self._id_generation += 1

    def lease_lost(self) -> None:
        """See LeaseHolder."""
        if self._lost_at is None:
            self._lost_at = self._time.monotonic()
            self.generation += 1
            self._id_generation += 1
            self.send(ipc.LeaseLost(self.worker))

    def cancel(self, claims: Sequence[Claim]) -> None:
        """See LeaseHolder."""
        now = self._time.monotonic()
        numbers = [claim.number for claim in claims]
        self._canceled_at = {number: self._canceled_at.get(number, now) for number in numbers}
        self.send(ipc.Cancel(numbers))  # each time: the claim may still have been on its way

    def reconcile(self) -> None:
        """See LeaseHolder."""
        self.send(ipc.Reconcile())

    def apply_policy(self, policy: Policy) -> None:
        """See LeaseHolder."""
        self._init.policy = policy
        self.send(ipc.ApplyPolicy(policy))

    def drain(self) -> None:
        """Make the child claim nothing more and end when its jobs are done."""
        self.draining = True
        self.send(ipc.Drain())
