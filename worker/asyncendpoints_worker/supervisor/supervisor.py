"""The worker's first process (PID 1 in its container): keeps children, their leases, and order.

It never imports user code, so nothing a handler does can stop it from renewing leases, from seeing
a child die and reporting that at once, or from ending a child that will not end.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_core.common.admin_server import AdminServer
from asyncendpoints_core.common.backoff import Backoff
from asyncendpoints_core.errors import AsyncEndpointsError, UsageError
from asyncendpoints_core.process import exit_report
from asyncendpoints_core.store.protocol import Cause
from asyncendpoints_core.store.recovery import Keeper, Recovered
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_worker.engine.heartbeat import Heart
from asyncendpoints_worker.identity import Names
from asyncendpoints_worker.metrics import Snapshot, add
from asyncendpoints_worker.supervisor import crash_report, ipc, reaper
from asyncendpoints_worker.supervisor.child_process import Offspring
from asyncendpoints_worker.supervisor.collector import WorkerCollector
from asyncendpoints_worker.supervisor.parent_death_signal import adopt_orphans
from asyncendpoints_worker.supervisor.store_startup import enter, enter_patiently

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from pathlib import Path

    from asyncendpoints_core.process.settings import Settings
    from asyncendpoints_core.resource import AsyncEndpoint
    from asyncendpoints_worker.supervisor.crash_report import Culprit
    from asyncendpoints_worker.supervisor.run_status import Running

log = logging.getLogger("asyncendpoints.worker")

LOOK_SECONDS: Final = 0.25
TELL_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 10.0
"""How long an idle child's loop may be silent."""
RELEASE_SECONDS: Final = 5.0
REPORT_SECONDS: Final = 10.0
LONG_LIFE_SECONDS: Final = 60.0
STUCK_SECONDS: Final = 60.0
INTERRUPTED: Final = 130


def run_supervisor(
    endpoint: AsyncEndpoint,
    settings: Settings,
    *,
    folders: Sequence[Path] = (),
    idle_seconds: float = IDLE_SECONDS,
    termination_log: Path = exit_report.TERMINATION_LOG,
    told: Callable[[Snapshot], None] | None = None,
) -> int:
    """Run a worker of `endpoint` until SIGTERM or Ctrl-C; return its exit status.

    0: drained. 1: the admin port or, outside a pod, Redis is out of reach at the start; the store
    is of another format. 2: the handlers cannot be loaded. 130: a second Ctrl-C. Faults are one
    line on stderr, and in `termination_log` where that is there. `folders` are where the handlers'
    module is looked for first. `told` is given the figures every second, and at the end.
    """
    try:
        # Not uvloop: it keeps SIGCHLD, and with it the ends of adopted processes, to itself.
        return asyncio.run(Supervisor(endpoint, settings, folders, idle_seconds, told).run())
    except (AsyncEndpointsError, OSError) as error:
        print(f"asyncendpoints: {error}", file=sys.stderr)
        exit_report.leave(error, termination_log)
        return 2 if isinstance(error, UsageError) else 1


class Supervisor:
    """Runs the children of one worker; `run` is its whole life."""

    def __init__(
        self,
        endpoint: AsyncEndpoint,
        settings: Settings,
        folders: Sequence[Path],
        idle_seconds: float,
        told: Callable[[Snapshot], None] | None = None,
    ) -> None:
        """Prepare; UsageError without a Redis."""
        source = settings.redis_source()
        if source is None:
            raise UsageError("a worker needs a Redis: --redis URL")
        self._endpoint = endpoint
        self._settings = settings
        self._folders = folders
        self._idle_seconds = idle_seconds
        self._told = told
        self._store = RedisStore(source, endpoint.key)
        self._names = Names(settings.pod_uid or "")
        self._children: list[Offspring] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._reports: set[asyncio.Task[Any]] = set()
        self._past = Snapshot({}, {}, {})
        policy = endpoint.spec.policy()
        self._heart = Heart(self._store, policy, lambda: list(self._children))
        self._fault: AsyncEndpointsError | None = None
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._interrupts = 0
        self._draining = False
        self._ever_ready = False
        self._looked = time.monotonic()

    async def run(self) -> int:
        """Serve until told to stop; return the exit status, or raise what ended it."""
        self._listen()
        admin = self._admin_server()
        if admin is not None:
            await admin.start()
        try:
            way = self._store, self._heart, self._names
            if self._settings.pod_uid is None:
                await self._unless_stopped(enter(*way))
                self._start_children()
            else:
                self._start_children()
                await self._unless_stopped(enter_patiently(*way))
            if not self._stop.is_set():
                self._begin()
                await self._stop.wait()
            return await self._shut_down()
        finally:
            for child in self._children:
                child.kill()
            for task in self._tasks | self._reports:
                task.cancel()
            await asyncio.gather(*self._tasks, *self._reports, return_exceptions=True)
            if admin is not None:
                await admin.stop()
            await self._store.close()
            if self._told is not None:
                self._told(self.figures())

    def _start_children(self) -> None:
        """Start the children, which import their handlers, and the look after them.

        In a pod they do not wait for the store, nor does readiness: the startup probe's time is for
        slow imports, and an outage must not use it up. Without a lease they claim nothing.
        """
        self._spawn_task(self._tasks, self._look())
        for _ in range(self._endpoint.spec.worker.processes):
            self._spawn_task(self._tasks, self._keep_child())

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work`, but end it when told to stop."""
        working, stopped = asyncio.create_task(work), asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait((working, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not self._stop.is_set():
                working.result()
        finally:
            for task in (working, stopped):
                task.cancel()
            await asyncio.gather(working, stopped, return_exceptions=True)

    def _begin(self) -> None:
        """Start what needs the store and goes on until the end: leases, recovery."""
        keeper = Keeper(self._store, lambda: self._heart.policy, random.random, self._recovered)
        for loop in (self._heart.run(), keeper.run()):
            self._spawn_task(self._tasks, loop)
        if self._told is not None:
            self._spawn_task(self._tasks, self._tell(self._told))

    def _spawn_task(self, group: set[asyncio.Task[Any]], work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        group.add(task)
        task.add_done_callback(self._task_ended)
        task.add_done_callback(group.discard)

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and task.exception() is not None:
            # Nothing goes on as it should without one of these: end, and be started again.
            log.critical("the supervisor has a defect", exc_info=task.exception())
            self._end_with(AsyncEndpointsError("the supervisor has a defect"))

    def _end_with(self, fault: AsyncEndpointsError) -> None:
        """End, and let `fault` be why; the first one stands."""
        self._fault = self._fault or fault
        self._stop.set()

    # Signals.

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        adopt_orphans()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        loop.add_signal_handler(signal.SIGINT, self._interrupted)
        loop.add_signal_handler(signal.SIGCHLD, self._reap)

    def _interrupted(self) -> None:
        self._interrupts += 1
        self._stop.set()
        if self._interrupts > 1:
            self._hurry.set()

    def _reap(self) -> None:
        """Take in every process that has ended: children, and orphans that came to us."""
        alive = {child.pid: child for child in self._children if not child.ended.done()}
        for pid, status in reaper.reap(list(alive)):
            alive[pid].ended.set_result(status)

    # Children.

    async def _keep_child(self) -> None:
        """Keep one child running, with growing pauses while it keeps dying young."""
        backoff = Backoff(0.1, 30.0)
        while not self._draining:
            init = ipc.init_of(self._endpoint, self._settings, self._folders, self._heart.policy)
            child = Offspring(self._names, init, self._heart.beat_now)
            self._children.append(child)
            self._reap()  # it may have ended before it was in the list
            talk = asyncio.create_task(child.converse())
            status = await child.ended
            await asyncio.wait((talk,), timeout=0.2)  # its last words may still be in the pipe
            talk.cancel()
            self._bury(child, status)
            if child.refused_because is not None and not self._ever_ready:
                self._end_with(UsageError(child.refused_because))
                return
            if time.monotonic() - child.born > LONG_LIFE_SECONDS:
                backoff.reset()
            if not self._draining:
                await asyncio.sleep(backoff.next())

    def _bury(self, child: Offspring, status: int) -> None:
        """Stop renewing a dead child's lease, then report what it held."""
        self._children.remove(child)
        reaper.kill_tagged(child.tag)
        add(self._past, child.figures)
        if child.killed:
            cause = Cause.KILLED
        elif status == 0 and self._draining:
            cause = Cause.DRAINED
        else:
            cause = Cause.CRASH
            self._count("child_crashes")
            if child.refused_because is None:
                log.error("child %d ended by itself (status %d)", child.pid, status)
            elif self._ever_ready:
                log.error("child %d did not start: %s", child.pid, child.refused_because)
        self._ever_ready = self._ever_ready or child.ready
        if child.worker:
            running, culprits = child.left()
            report = self._report(child.worker, cause, running, culprits)
            self._spawn_task(self._reports, report)
        child.close()
        child.buried.set_result(None)

    async def _report(
        self, worker: str, cause: Cause, running: list[Running], culprits: list[Culprit]
    ) -> None:
        policy = self._heart.policy
        released = await crash_report.report(self._store, policy, worker, cause, running, culprits)
        log.info("%s has ended (%s): %s", worker, cause.value, released)

    async def _look(self) -> None:
        """Look after the children four times a second, and whether the store still takes us."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._looked = now = time.monotonic()
            if self._heart.refused is not None:
                self._end_with(self._heart.refused)
            grace = self._heart.policy.grace_ms / 1000
            for child in self._children:
                child.inspect(now, grace, self._idle_seconds)

    async def _tell(self, told: Callable[[Snapshot], None]) -> None:
        """Give the figures to whoever started this worker."""
        while True:
            told(self.figures())
            await asyncio.sleep(TELL_SECONDS)

    # The end.

    async def _shut_down(self) -> int:
        """Drain the children, or after a second Ctrl-C end them, and report what is left."""
        self._draining = True
        for child in self._children:
            child.drain()
            if not child.ready:
                child.kill()  # it holds nothing yet
        self._heart.beat_now()
        limit = 0.0 if self._fault else self._endpoint.spec.drain_seconds
        if not await self._childless_within(limit):
            for child in self._children:
                child.send(ipc.ReleaseAll())
            if not await self._childless_within(0.0 if self._fault else RELEASE_SECONDS):
                for child in self._children:
                    child.kill()
                await self._childless_within(RELEASE_SECONDS, hurried=False)
        if self._reports and self._heart.refused is None:
            await asyncio.wait(self._reports, timeout=REPORT_SECONDS)
        if self._fault is not None:
            raise self._fault
        if self._hurry.is_set():
            return INTERRUPTED
        return 1 if self._reports else 0

    async def _childless_within(self, seconds: float, *, hurried: bool = True) -> bool:
        """Wait until every child has ended; if `hurried`, a second Ctrl-C cuts that short."""
        ends = [child.buried for child in self._children]
        if ends:
            waiting: list[asyncio.Future[Any]] = [asyncio.ensure_future(asyncio.wait(ends))]
            if hurried:
                waiting.append(asyncio.ensure_future(self._hurry.wait()))
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()
        return all(end.done() for end in ends)

    # For the admin port.

    def _admin_server(self) -> AdminServer | None:
        port = self._settings.admin_port
        if port is None:
            return None
        return AdminServer(
            self._settings.admin_host or "127.0.0.1",
            port,
            WorkerCollector(self.figures),
            lambda: "" if self.is_ready() else "not ready: handlers are being loaded",
            self.is_alive,
        )

    def is_alive(self) -> bool:
        """Whether the supervisor looks after its children; never Redis, never a child."""
        return time.monotonic() - self._looked < STUCK_SECONDS

    def is_ready(self) -> bool:
        """Whether every child has loaded its handlers once; never whether it is busy."""
        wanted = self._endpoint.spec.worker.processes
        ready = sum(child.ready for child in self._children)
        return self._ever_ready or ready >= wanted

    def figures(self) -> Snapshot:
        """Return the figures of all children, the dead ones included."""
        total = Snapshot({}, {}, {})
        for part in (self._past, *(child.figures for child in self._children)):
            add(total, part)
        return total

    def _recovered(self, done: Recovered) -> None:
        self._count("recovered_jobs", done.jobs)

    def _count(self, name: str, by: int = 1) -> None:
        if by:
            counters = self._past.counters
            counters[name] = counters.get(name, 0) + by
