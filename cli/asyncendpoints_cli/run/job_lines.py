"""Follows the jobs of one endpoint for the terminal: each attempt that ends, each final state."""

from __future__ import annotations

import asyncio
import contextlib
from itertools import islice
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.store.replies import MAX_BATCH

if TYPE_CHECKING:
    from asyncendpoints_cli.run.terminal import Terminal
    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.jobs.records import Job
    from asyncendpoints_core.store.protocol import Store

MAX_CHANGED: Final = 100_000
"""Changed jobs that may wait to be read; of more, some get no line."""

MAX_FINAL: Final = 10_000


class JobLines:
    """Writes the lines of one endpoint's jobs between `start` and `stop`.

    They are a view for a person: what happens while the store is unavailable is not shown later.
    """

    def __init__(self, endpoint: str, store: Store, terminal: Terminal) -> None:
        self._endpoint = endpoint
        self._store = store
        self._terminal = terminal
        self._changed: dict[JobId, None] = {}
        self._wake = asyncio.Event()
        # Per unfinished job that ran, the start of its last attempt that was shown.
        self._shown: dict[JobId, int] = {}
        # Of the last final jobs: earlier events of a job may arrive after its final state was read.
        self._final_revisions: dict[JobId, int] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start to follow: jobs that change after this are shown."""
        watching = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._watch(watching)),
            loop.create_task(self._report_changed()),
        ]
        await watching.wait()

    async def stop(self) -> None:
        """Show what has ended by now, and stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._changed |= dict.fromkeys(self._shown)
        while self._changed:
            await self._report_some()

    async def _watch(self, watching: asyncio.Event) -> None:
        async with self._store.events() as events:
            watching.set()
            async for event in events:
                job_id = event.job_id
                if job_id is None or len(self._changed) >= MAX_CHANGED:
                    continue
                if event.revision > self._final_revisions.get(job_id, -1):
                    self._changed[job_id] = None
                    self._wake.set()

    async def _report_changed(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._changed:
                await self._report_some()

    async def _report_some(self) -> None:
        some = list(islice(self._changed, MAX_BATCH))
        for job_id in some:
            del self._changed[job_id]
        with contextlib.suppress(StoreError):
            for found in await self._store.get(some):
                if found.job is not None:
                    self._report(found.job)

    def _report(self, job: Job) -> None:
        shown = self._shown.pop(job.id, 0)
        ended = [attempt for attempt in job.attempts if attempt.started_ms > shown]
        if job.final and ended and ended[-1].ended_ms >= job.completed_ms:
            ended.pop()
        for attempt in ended:
            self._terminal.attempt(self._endpoint, job, attempt)
        if job.final:
            self._terminal.final(self._endpoint, job)
            self._final_revisions[job.id] = job.revision
            if len(self._final_revisions) > MAX_FINAL:
                del self._final_revisions[next(iter(self._final_revisions))]
        elif job.started_ms or job.attempts:
            self._shown[job.id] = job.attempts[-1].started_ms if job.attempts else 0
