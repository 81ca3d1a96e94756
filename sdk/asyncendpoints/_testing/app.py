"""`running`: an endpoint's gateway and worker in the process of a test, with a client."""

from __future__ import annotations

import asyncio
import json
import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from asyncendpoints_core.common.time_source import SystemTime, rfc3339
from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.jobs.job_view import encode_job
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.manifest.source import resolve_source
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_gateway.server.app import Gateway
from asyncendpoints_worker.local import LocalWorker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Sequence

    from asyncendpoints._testing.clock import Clock
    from asyncendpoints_client import AsyncClient, AsyncJobHandle, Job
    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.manifest.source import Source

    T = TypeVar("T")

QUIET_SECONDS: Final = 1.0
"""Real time in which nothing happens before a wait is taken to be for the clock."""
BASE_URL: Final = "http://testserver"


class ClockStopped(RuntimeError):
    """A wait that only the clock could end; the message names what is due next, and when."""


class App:
    """A running endpoint; `client` is an AsyncClient of its gateway."""

    def __init__(
        self, client: AsyncClient, store: MemoryStore, worker: LocalWorker, clock: Clock | None
    ) -> None:
        self.client = client
        self._store = store
        self._worker = worker
        self._clock = clock
        self._given_up: frozenset[int] = frozenset()
        self._waiting = 0

    async def submit(self, path: str, body: Any = None, **options: Any) -> AsyncJobHandle:
        """Submit a job and return its handle; the options are those of `AsyncClient.submit`."""
        return await self.client.submit(path, body, **options)

    def job(self, job_id: str) -> AsyncJobHandle:
        """Return the handle of a job whose id is known."""
        return self.client.job(job_id)

    async def jobs(self, state: str | None = None) -> list[Job]:
        """Return all jobs, or those in a state such as "Failed", newest first within a state."""
        from asyncendpoints_client import Job

        found: list[Job] = []
        cursor: str | None = None
        while True:
            page = await self._store.list(State[_member(state)] if state else None, 500, cursor)
            found += [Job.parse(json.loads(encode_job(job, ""))) for job in page.jobs]
            cursor = page.cursor
            if cursor is None:
                return found

    # What the clock waits for.

    async def busy(self) -> bool:
        """Whether attempts run or can start, but for those that were given up."""
        running = self._worker.running
        if running - self._given_up or self._worker.held > len(running):
            return True
        queued = await self._queued()
        return queued > self._waiting and len(running) < self._worker.concurrency

    async def give_up(self) -> None:
        """Wait no more for what runs and waits now."""
        self._given_up = self._worker.running
        self._waiting = await self._queued()

    async def _queued(self) -> int:
        return (await self._store.stats()).counts.get(State.QUEUED, 0)

    async def _due(self) -> str:
        clock = self._clock
        due = (await self._store.stats()).due_ms
        if clock is None or not due:
            return "no job is due"
        seconds = (due[0] - clock.now_ms()) / 1000
        return (
            f"the next job is due at {rfc3339(due[0])}, in {seconds:g} s: "
            f"await clock.advance({seconds:g})"
        )

    async def guard(self, waited: Awaitable[T]) -> T:
        """Await something; ClockStopped once nothing but the clock could end it."""
        if self._clock is None:
            return await waited
        task = asyncio.ensure_future(waited)
        quiet_since, seen = time.monotonic(), self._clock.now_ms()
        try:
            while not (await asyncio.wait([task], timeout=0.05))[0]:
                moved, seen = seen != self._clock.now_ms(), self._clock.now_ms()
                if moved or self._clock.advancing or await self.busy() or self._worker.running:
                    quiet_since = time.monotonic()
                elif time.monotonic() - quiet_since > QUIET_SECONDS:
                    raise ClockStopped(f"this waits for the clock; {await self._due()}")
            return task.result()
        finally:
            task.cancel()

    async def sleep(self, seconds: float) -> None:
        """Wait as the client does between its tries."""
        if self._clock is None:
            await asyncio.sleep(seconds)
        else:
            await self.guard(self._clock.sleep(seconds))


def _member(state: str) -> str:
    """Return the name of a State for its name in JSON: "InProgress" is IN_PROGRESS."""
    known = {each.replace("_", "").lower(): each for each in State.__members__}
    if state.lower() not in known:
        raise ValueError(f"{state!r} is not a state of jobs")
    return known[state.lower()]


@asynccontextmanager
async def running(endpoint: Source, *, clock: Clock | None = None) -> AsyncIterator[App]:
    """Run an endpoint's gateway and worker in this process, on a store in memory.

    `endpoint` is an Endpoint, the path of a file, or what `load` returned. With a `clock`, leases,
    delays, retries, timeouts and long polls go by it, and the jitter of retries is its `random`.
    Tokens that the endpoint requires of clients are not checked. At the end running attempts are
    canceled.

    Raises UsageError for an endpoint or handlers that cannot be used, or without the extra
    `asyncendpoints[testing]`.
    """
    _check_extra()
    found = resolve_source(endpoint)
    source = clock or SystemTime()
    store = MemoryStore(source)
    gateway = Gateway(found.endpoint, store, source, owns_policy=True)
    worker = LocalWorker(
        *(found.endpoint, store, found.registry),
        folders=found.folders,
        time=source,
        random=random.random if clock is None else clock.random,
    )
    apps: list[App] = []
    await store.open()
    gateway.start()
    await gateway.policy.connected.wait()
    await worker.start()
    async with _client(gateway, source, apps) as client:
        app = App(client, store, worker, clock)
        apps.append(app)
        if clock is not None:
            clock.add(app)
        try:
            yield app
        finally:
            if clock is not None:
                clock.remove(app)
            await _stop(gateway, worker, store, clock)


def _check_extra() -> None:
    try:
        import asyncendpoints_client  # noqa: F401 - only whether it is there
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{error.name} is not installed; run: pip install 'asyncendpoints[testing]'"
        ) from None


def _client(gateway: Gateway, source: TimeSource, apps: Sequence[App]) -> AsyncClient:
    """Return a client that goes by `source` and waits as the one of `apps` does."""
    from asyncendpoints._testing.transport import InProcess
    from asyncendpoints_client import AsyncClient, Timing

    timing = Timing(
        monotonic=source.monotonic,
        wall=lambda: source.now_ms() / 1000,
        random=random.Random(0).random,  # noqa: S311 - jitter
        async_sleep=lambda seconds: apps[0].sleep(seconds),
    )
    transport = InProcess(gateway, lambda waited: apps[0].guard(waited))
    return AsyncClient(BASE_URL, transport=transport, timing=timing)


async def _stop(
    gateway: Gateway, worker: LocalWorker, store: MemoryStore, clock: Clock | None
) -> None:
    async def stop() -> None:
        await gateway.close_waits()
        await worker.stop(0)
        await gateway.stop()
        await store.close()

    task = asyncio.create_task(stop())
    if clock is not None:
        await clock.drive(task)
    await task
