"""The child processes of one worker: kept running, checked, drained, and reported when they end."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_core.common.backoff import Backoff
from asyncendpoints_core.errors import AsyncEndpointsError, UsageError
from asyncendpoints_core.store.replies import Cause
from asyncendpoints_worker.cgroup import Cgroup
from asyncendpoints_worker.engine.heartbeat import Heartbeat
from asyncendpoints_worker.metrics import Snapshot, add, total_of
from asyncendpoints_worker.supervisor import child_exit, crash_report, ipc, reaper
from asyncendpoints_worker.supervisor.child_process import ChildProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.jobs.policy import Policy
    from asyncendpoints_core.store.protocol import Store
    from asyncendpoints_worker.identity import WorkerIds
    from asyncendpoints_worker.supervisor.child_exit import ChildExit

log = logging.getLogger("asyncendpoints.worker")

CHECK_SECONDS: Final = 0.25
LAST_MESSAGES_SECONDS: Final = 0.2
LONG_LIFE_SECONDS: Final = 60.0
REPORT_SECONDS: Final = 10.0
STUCK_SECONDS: Final = 60.0


class BackgroundTasks:
    """Tasks that are canceled together; one that fails is passed to `failed`."""

    def __init__(self, failed: Callable[[BaseException], None]) -> None:
        self._failed = failed
        self.running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run `work` as a task."""
        task = asyncio.create_task(work)
        self.running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)

    async def cancel(self) -> None:
        """Cancel all tasks and wait for their end."""
        tasks = list(self.running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Children:
    """Keeps `count` children running until `drain`, with the leases of their engines.

    `init` returns the first message to a child under a policy. `fail` ends the worker.
    """

    def __init__(
        self,
        store: Store,
        time: TimeSource,
        ids: WorkerIds,
        policy: Policy,
        init: Callable[[Policy], ipc.Init],
        *,
        count: int,
        idle_seconds: float,
        fail: Callable[[AsyncEndpointsError], None],
    ) -> None:
        """Start without a child. One whose event loop stands still for `idle_seconds` is killed."""
        self._store = store
        self._time = time
        self._ids = ids
        self._init = init
        self._count = count
        self._idle_seconds = idle_seconds
        self._fail = fail
        self.running: list[ChildProcess] = []
        self.heartbeat = Heartbeat(store, time, policy, lambda: list(self.running))
        self._tasks = BackgroundTasks(self._task_failed)
        self._reports = BackgroundTasks(self._task_failed)
        self._ended_metrics = Snapshot({}, {}, {})
        self._memory_kills = Cgroup().memory().kills
        self._draining = False
        self._ever_ready = False
        self._checked_at = time.monotonic()

    def start(self) -> None:
        """Start the children, which import their handlers.

        In a pod this does not wait for the store, nor does readiness: the startup probe's time is
        for slow imports, and an outage must not use it up. Without a lease they claim nothing.
        """
        self._tasks.start(self._check())
        for _ in range(self._count):
            self._tasks.start(self._keep_running())

    def _task_failed(self, error: BaseException) -> None:
        # The worker cannot work without one of these: end, and be restarted.
        log.critical("internal error in the supervisor", exc_info=error)
        self._fail(AsyncEndpointsError("internal error in the supervisor"))

    def run_in_background(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run `work` until `close`; the worker ends if it fails."""
        self._tasks.start(work)

    def reap(self) -> None:
        """Reap every process that has ended: children, and orphaned descendants."""
        alive = {child.pid: child for child in self.running if not child.exit_status.done()}
        for pid, status in reaper.reap(list(alive)):
            alive[pid].exit_status.set_result(status)

    async def _keep_running(self) -> None:
        """Keep one child running, with backoff while it ends soon after its start."""
        backoff = Backoff(0.1, 30.0)
        while not self._draining:
            init = self._init(self.heartbeat.policy)
            child = ChildProcess(self._ids, init, self._time, self.heartbeat.beat_now)
            self.running.append(child)
            self.reap()  # it may have ended before it was in the list
            messages = asyncio.create_task(child.receive())
            status = await child.exit_status
            await asyncio.wait((messages,), timeout=LAST_MESSAGES_SECONDS)
            messages.cancel()
            self._remove(child, status)
            if child.startup_error is not None and not self._ever_ready:
                self._fail(UsageError(child.startup_error))
                return
            if self._time.monotonic() - child.started_at > LONG_LIFE_SECONDS:
                backoff.reset()
            if not self._draining:
                await self._time.sleep(backoff.next())

    def _remove(self, child: ChildProcess, status: int) -> None:
        """Stop renewing a dead child's lease, then report what it held."""
        self.running.remove(child)
        reaper.kill_tagged(child.tag)
        add(self._ended_metrics, child.metrics)
        how = ""
        if child.killed:
            cause = Cause.KILLED
        elif status == 0 and self._draining:
            cause = Cause.DRAINED
        else:
            cause = Cause.CRASH
            ended = self._describe(status)
            how = ended.text
            self._ids.crashed(how, self._time.now_ms())
            self.count(f"child_crashes_{ended.cause}")
            if child.startup_error is None:
                log.error("child %d ended unexpectedly: %s", child.pid, how)
            elif self._ever_ready:
                log.error("child %d did not start: %s", child.pid, child.startup_error)
        self._ever_ready = self._ever_ready or child.ready
        if child.worker:
            running, stuck = child.last_attempts()
            policy = self.heartbeat.policy
            self._reports.start(
                crash_report.report(
                    *(self._store, self._time, policy, child.worker, cause),
                    *(running, stuck, how),
                )
            )
        child.close()
        child.removed.set_result(None)

    def _describe(self, status: int) -> ChildExit:
        memory = Cgroup().memory()
        killed_before, self._memory_kills = self._memory_kills, memory.kills
        return child_exit.describe(status, killed_before, memory)

    async def _check(self) -> None:
        """Check the children four times a second, and whether the store still accepts us."""
        while True:
            await self._time.sleep(CHECK_SECONDS)
            self._checked_at = now = self._time.monotonic()
            if self.heartbeat.store_refused is not None:
                self._fail(self.heartbeat.store_refused)
            grace = self.heartbeat.policy.grace_ms / 1000
            for child in self.running:
                child.check(now, grace, self._idle_seconds)

    # The end.

    def drain(self) -> None:
        """Start no more children, and make those that run end when their jobs are done."""
        self._draining = True
        for child in self.running:
            child.drain()
            if not child.ready:
                child.kill()  # it holds nothing yet
        self.heartbeat.beat_now()

    def release_all(self) -> None:
        """Make the children stop running attempts and release their jobs."""
        for child in self.running:
            child.send(ipc.ReleaseAll())

    def kill(self) -> None:
        """Kill all children."""
        for child in self.running:
            child.kill()

    async def ended_within(self, seconds: float, hurry: asyncio.Event | None = None) -> bool:
        """Wait until every child has ended; `hurry` cuts that short. Return whether all have."""
        ends = [child.removed for child in self.running]
        if ends:
            waiting: list[asyncio.Future[Any]] = [asyncio.ensure_future(asyncio.wait(ends))]
            if hurry is not None:
                waiting.append(asyncio.ensure_future(hurry.wait()))
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()
        return all(end.done() for end in ends)

    async def reported(self) -> bool:
        """Wait until the end of every child is reported; return whether that is so."""
        if self._reports.running and self.heartbeat.store_refused is None:
            await asyncio.wait(self._reports.running, timeout=REPORT_SECONDS)
        return not self._reports.running

    async def close(self) -> None:
        """Kill what still runs, and end all background work."""
        self.kill()
        await self._tasks.cancel()
        await self._reports.cancel()

    # For the admin port.

    def is_alive(self) -> bool:
        """Whether the children are being checked; depends on neither Redis nor a child."""
        return self._time.monotonic() - self._checked_at < STUCK_SECONDS

    def is_ready(self) -> bool:
        """Whether every child has loaded its handlers once; being busy does not matter."""
        return self._ever_ready or sum(child.ready for child in self.running) >= self._count

    def metrics(self) -> Snapshot:
        """Return the metrics of all children, those that have ended included."""
        return total_of((self._ended_metrics, *(child.metrics for child in self.running)))

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter of the worker itself."""
        if by:
            counters = self._ended_metrics.counters
            counters[name] = counters.get(name, 0) + by
