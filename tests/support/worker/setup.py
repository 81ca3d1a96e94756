"""An endpoint on a real Redis with real worker processes, for the system tests of workers."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.redis import RedisStore
from support.store.work import endpoint, eventually, new_job, submit, until_final
from support.worker.process import WorkerProcess

FOLDER = Path(__file__).parent / "jobs"
GRACE_MS = 300


class Setup:
    """An endpoint's store, and what starts workers for it."""

    def __init__(self, url: str, tmp_path: Path, **spec: Any) -> None:
        self.url = url
        self.tmp_path = tmp_path
        worker = {"handlers": "system_jobs", "concurrency": 4, **spec.pop("worker", {})}
        self.endpoint: AsyncEndpoint = endpoint(worker=worker, **spec)
        self.store = RedisStore(url, self.endpoint.key)
        self.workers: list[WorkerProcess] = []

    async def open(self) -> Setup:
        await self.store.open()
        policy = msgspec.structs.replace(self.endpoint.spec.policy(), grace_ms=GRACE_MS)
        await self.store.configure(policy)
        return self

    def worker(self, **settings: Any) -> WorkerProcess:
        self.workers.append(WorkerProcess(self.endpoint, self.url, FOLDER, **settings))
        return self.workers[-1]

    def file(self, name: str) -> str:
        return str(self.tmp_path / name)

    def body(self, **fields: Any) -> bytes:
        return msgspec.json.encode(
            {"runs": self.file("runs"), "until": self.file("until"), **fields}
        )

    def runs(self) -> list[list[str]]:
        """Return (job, claim, process) of each run so far."""
        file = Path(self.file("runs"))
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def let_go(self) -> None:
        """End the jobs that hold."""
        Path(self.file("until")).touch()

    async def submit(self, name: str, count: int = 1, **fields: Any) -> list[JobId]:
        attempts = fields.pop("max_attempts", 4)
        jobs = [new_job(name, self.body(**fields), max_attempts=attempts) for _ in range(count)]
        return await submit(self.store, *jobs)

    async def pid_of_child(self) -> int:
        """Return the process that runs the handlers, once it does."""
        (job_id,) = await submit(self.store, new_job("pid"))
        await until_final(self.store, job_id)
        result = (await self.store.result(job_id))[1]
        assert result is not None
        return int(result.body)

    async def close(self) -> None:
        for worker in self.workers:
            worker.close()
        await self.store.close()


Start = Callable[..., Any]
"""Makes a Setup: `await start(url, **spec)`, on the run's Redis unless given another's URL."""


@asynccontextmanager
async def setups(default_url: str, tmp_path: Path) -> AsyncIterator[Start]:
    """Give what makes Setups, and close them in the end."""
    made: list[Setup] = []

    async def start(url: str = default_url, **spec: Any) -> Setup:
        made.append(Setup(url, tmp_path, **spec))
        return await made[-1].open()

    try:
        yield start
    finally:
        for setup in made:
            await setup.close()


async def has_ended(*pids: int) -> None:
    """Wait until none of these processes runs any more."""
    await eventually(lambda: not any(_runs(pid) for pid in pids))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        if not Path("/proc/self/stat").exists():
            return True
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):  # it may end between the two
        return False
    return state != "Z"


async def until_runs(setup: Setup, count: int) -> None:
    """Wait until `count` runs have begun in handlers."""
    await eventually(lambda: len(setup.runs()) >= count)


async def is_draining(setup: Setup) -> bool:
    return all(each.draining for each in await setup.store.workers())
