"""The figures of an endpoint, its workers, and what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_console.reading import failures, figures
from asyncendpoints_console.reading.warnings import warnings
from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.job_view import timestamp
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.figures import Figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints_console.target import Target
    from asyncendpoints_core.jobs.records import Job
    from asyncendpoints_core.store.replies import Stats, WorkerState

HOUR_MS: Final = 3_600_000
MAX_RUNNING: Final = 500
STEP_SECONDS: Final = 10
"""Of the figures from which rates are read."""
ALL_JOBS: Final = "*"
"""In the list of paused jobs: the whole endpoint is paused."""


def job_names(target: Target, stats: Stats) -> frozenset[str]:
    """Return the names that jobs have or may get, and those that are paused."""
    return target.endpoint.spec.job_names | {*stats.by_name, *stats.paused_jobs}


async def endpoint(target: Target) -> dict[str, Any]:
    """Return the figures of one endpoint."""
    return await _endpoint(target, await target.store.read_figures(STEP_SECONDS))


async def _endpoint(target: Target, found: Figures) -> dict[str, Any]:
    store = target.store
    stats, workers = await store.stats(), await store.workers()
    live = [worker for worker in workers if worker.lease_ms > stats.now_ms]
    since_ms = stats.now_ms - HOUR_MS
    newest, _ = await failures.newest(target, since_ms=since_ms)
    recent = sum(job.completed_ms > since_ms for job in newest)
    # Of more than were read, the figures know the number, if somebody writes them.
    counted = sum(point.failures for point in found.points if point.at_ms >= since_ms)
    return {
        "namespace": target.namespace,
        "name": target.name,
        "reachable": True,
        "jobs": {state.value: stats.counts[state] for state in State},
        "heldBack": stats.counts[State.QUEUED] - stats.startable,
        "oldestQueuedAt": timestamp(stats.oldest_ms),
        **figures.rates(found, STEP_SECONDS),
        "failuresLastHour": max(recent, counted),
        "workers": len(live),
        "slots": sum(worker.info.concurrency for worker in live),
        "used": stats.held,
        "paused": [*([ALL_JOBS] if stats.paused else []), *stats.paused_jobs],
        "suspended": stats.suspended,
        "scaling": figures.scaling(found.scaling, found.now_ms),
        "warnings": await warnings(target, stats, workers, found),
    }


async def endpoints(targets: Sequence[Target]) -> list[dict[str, Any]]:
    """Return the figures of every endpoint; of one whose queue cannot be read, why."""
    return [found for found, _ in await with_figures(targets)]


async def with_figures(targets: Sequence[Target]) -> list[tuple[dict[str, Any], Figures]]:
    """Return the same, each with its last hour."""
    items = []
    for target in targets:
        if target.elsewhere:
            items.append((unreachable(target, target.elsewhere), Figures(0)))
            continue
        try:
            found = await target.store.read_figures(STEP_SECONDS)
            items.append((await _endpoint(target, found), found))
        except StoreError:
            items.append((unreachable(target, "the queue cannot be reached"), Figures(0)))
    return items


def unreachable(target: Target, why: str) -> dict[str, Any]:
    """Return what is known of an endpoint whose queue cannot be read."""
    named = {"namespace": target.namespace, "name": target.name}
    return {**named, "reachable": False, "message": why}


def policy(target: Target) -> dict[str, Any]:
    """Return the limits and times that an endpoint's resource sets."""
    spec = target.endpoint.spec
    parts = ("queue", "retry", "timeouts", "retention", "autoscaling")
    return {
        name: getattr(spec, name).model_dump(mode="json", by_alias=True)
        for name in parts
        if getattr(spec, name, None) is not None
    }


async def workers(target: Target) -> dict[str, Any]:
    """Return the registered workers, each with the jobs that it runs, the longest first."""
    store = target.store
    stats, states = await store.stats(), await store.workers()
    running = await store.list(State.IN_PROGRESS, MAX_RUNNING, None)
    lease_ms = target.endpoint.spec.policy().lease_ms
    by_worker: dict[str, list[Job]] = {}
    for job in sorted(running.jobs, key=lambda job: job.started_ms):
        by_worker.setdefault(job.worker, []).append(job)
    return {
        "items": [
            _worker(state, by_worker.get(state.info.id, []), stats.now_ms, lease_ms)
            for state in states
        ]
    }


def _worker(state: WorkerState, jobs: list[Job], now: int, lease_ms: int) -> dict[str, Any]:
    info = state.info
    return {
        "id": info.id,
        "pod": info.pod,
        "host": info.host or None,
        "version": info.version or None,
        "slots": info.concurrency,
        "held": state.held,
        "running": [
            {
                "id": ids.text(job.id),
                "name": job.name,
                "attempt": job.attempt,
                "startedAt": timestamp(job.started_ms),
                "elapsedSeconds": max(0, now - job.started_ms) / 1_000,
                "progress": None if job.progress is None else job.progress.fraction,
            }
            for job in jobs
        ],
        "lastHeartbeatAt": timestamp(state.lease_ms - lease_ms),
        "leaseEndsAt": timestamp(state.lease_ms),
        "live": state.lease_ms > now,
        "cordoned": state.cordoned_until_ms > now,
        "draining": state.draining,
        "lastCrash": info.last_crash or None,
    }
