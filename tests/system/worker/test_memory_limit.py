"""A handler that leaks until the kernel kills its process, in a memory cgroup as of a container."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asyncendpoints_core.jobs.states import State
from support.store.work import assert_tidy, until, until_final
from support.worker.memory_limit import join, memory_limit
from support.worker.setup import Start, setups, until_runs

LIMIT = 256 << 20


@pytest.fixture
async def start(redis_url: str, tmp_path: Path) -> AsyncIterator[Start]:
    async with setups(redis_url, tmp_path) as make:
        yield make


async def test_a_leaking_handler_fails_alone_and_its_error_names_the_limit(start: Start) -> None:
    with memory_limit(f"asyncendpoints-test-{os.getpid()}", LIMIT) as folder:
        setup = await start(retry={"maxCrashes": 1, "initialSeconds": 0.01, "jitter": "none"})
        worker = setup.worker()
        child = await setup.pid_of_child()
        join(folder, worker.pid, child)
        neighbours = await setup.submit("hold", 3)
        await until_runs(setup, 3)
        (leaking,) = await setup.submit("leak")
        # Several jobs ran at the first kill, so none is charged. Then each runs alone.
        await until(setup.store, neighbours, lambda job: job.suspect or job.releases > 0)
        setup.let_go()
        failed, *fine = await until_final(setup.store, leaking, *neighbours, seconds=60)
        assert failed.error is not None
        assert (failed.state, failed.error.code) == (State.FAILED, "worker-crashed")
        assert failed.error.message == (
            "its worker's process died 2 times while running it: "
            "killed by SIGKILL: the container ran out of memory (limit 256 MiB)"
        )
        assert {(job.state, job.attempt, job.crashes) for job in fine} == {(State.COMPLETED, 1, 0)}
        assert worker.stop() == 0
        await assert_tidy(setup.store)
