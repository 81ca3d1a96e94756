"""Endpoints, jobs and waiting for their end, for the tests of workers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import Job, NewJob, Request
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.protocol import Store

_clock = SystemTime()


def endpoint(
    name: str = "work", worker: dict[str, Any] | None = None, **spec: Any
) -> AsyncEndpoint:
    """Return an endpoint with one route; `spec` adds sections as they stand in the YAML."""
    return AsyncEndpoint.parse(
        {
            "apiVersion": "asyncendpoints.io/v1alpha1",
            "kind": "AsyncEndpoint",
            "metadata": {"name": name},
            "spec": {
                "routes": [{"path": "/work", "job": "work"}],
                "worker": worker or {"handlers": "jobs", "concurrency": 4},
                "retry": {"initialSeconds": 0.01, "jitter": "none"},
                **spec,
            },
        }
    )


def new_job(name: str, body: bytes = b"", **fields: Any) -> NewJob:
    """Return a job to enqueue; `fields` of its request may be given by name."""
    job_fields = {key: fields.pop(key) for key in ("max_attempts", "delay_ms") if key in fields}
    request = Request(**{"method": "POST", "path": "/work", "body": body, **fields})
    return NewJob(ids.new(_clock.now_ms()), name, request, **{"max_attempts": 4, **job_fields})


async def submit(store: Store, *jobs: NewJob) -> list[JobId]:
    """Enqueue jobs and return their ids."""
    for first in range(0, len(jobs), 500):
        answers = await store.enqueue(jobs[first : first + 500])
        assert all(answer.status == "created" for answer in answers)
    return [job.id for job in jobs]


async def until(
    store: Store,
    job_ids: Sequence[JobId],
    reached: Callable[[Job], bool],
    seconds: float = 30.0,
) -> list[Job]:
    """Wait until each job satisfies `reached`, woken by the store's events."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                return await _watch(store, job_ids, reached)
            except StoreUnavailable:
                await asyncio.sleep(0.05)


async def _watch(
    store: Store, job_ids: Sequence[JobId], reached: Callable[[Job], bool]
) -> list[Job]:
    async with store.events() as events:
        seen: dict[JobId, Job] = {}
        missing = list(job_ids)
        pending = asyncio.ensure_future(anext(events))
        try:
            while True:
                for found in await store.get(missing):
                    assert found.job is not None
                    if reached(found.job):
                        seen[found.job.id] = found.job
                missing = [each for each in missing if each not in seen]
                if not missing:
                    return [seen[each] for each in job_ids]
                done, _ = await asyncio.wait((pending,), timeout=0.5)
                if done:
                    pending.result()
                    pending = asyncio.ensure_future(anext(events))
        finally:
            pending.cancel()


async def until_final(store: Store, *job_ids: JobId, seconds: float = 30.0) -> list[Job]:
    """Wait until each job is in a final state."""
    return await until(store, job_ids, lambda job: job.final, seconds)


async def until_running(store: Store, *job_ids: JobId) -> list[Job]:
    """Wait until a worker has claimed each job."""
    return await until(store, job_ids, lambda job: job.state is State.IN_PROGRESS)


async def assert_tidy(store: Store) -> None:
    """Assert that nothing is held and every counted job is final or waiting."""
    stats = await store.stats()
    assert stats.held == 0
    assert stats.counts.get(State.IN_PROGRESS, 0) == 0


async def eventually(
    condition: Callable[[], bool | Awaitable[bool]], seconds: float = 30.0
) -> None:
    """Poll until `condition` holds: for what another process reaches without telling us."""
    async with asyncio.timeout(seconds):
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            await asyncio.sleep(0.02)
