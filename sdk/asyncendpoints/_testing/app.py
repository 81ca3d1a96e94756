"""`running`: an endpoint's gateway and worker in the process of a test, with a client."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints._testing.clock import driver_of
from asyncendpoints._testing.waits import Waits
from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.jobs.job_view import encode_job
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.manifest.source import resolve_source
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_gateway.server.app import Gateway
from asyncendpoints_worker.local import LocalWorker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncendpoints._testing.clock import Clock
    from asyncendpoints_client import AsyncClient, AsyncJobHandle, Job
    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.manifest.source import Source

BASE_URL: Final = "http://testserver"


class App:
    """A running endpoint; `client` is an AsyncClient of its gateway."""

    def __init__(self, client: AsyncClient, store: MemoryStore) -> None:
        self.client = client
        self._store = store

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
    waits = Waits(store, worker, clock)
    await store.open()
    gateway.start()
    await gateway.policy.connected.wait()
    await worker.start()
    async with _client(gateway, source, waits) as client:
        if clock is not None:
            driver_of(clock).add(waits)
        try:
            yield App(client, store)
        finally:
            if clock is not None:
                driver_of(clock).remove(waits)
            await _stop(gateway, worker, store, clock)


def _check_extra() -> None:
    try:
        import asyncendpoints_client  # noqa: F401 - only whether it is there
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{error.name} is not installed; run: pip install 'asyncendpoints[testing]'"
        ) from None


def _client(gateway: Gateway, source: TimeSource, waits: Waits) -> AsyncClient:
    """Return a client that goes by `source` and waits as `waits` does."""
    from asyncendpoints._testing.transport import InProcess
    from asyncendpoints_client import AsyncClient, Timing

    timing = Timing(
        monotonic=source.monotonic,
        wall=lambda: source.now_ms() / 1000,
        random=random.Random(0).random,  # noqa: S311 - jitter
        async_sleep=waits.sleep,
    )
    return AsyncClient(BASE_URL, transport=InProcess(gateway, waits.guard), timing=timing)


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
        await driver_of(clock).drive(task)
    await task
