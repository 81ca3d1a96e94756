"""Handlers that do not end, crash, or block the process: which jobs are charged."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asyncendpoints_core.jobs.ids import text
from asyncendpoints_core.jobs.states import State
from support.store.work import assert_tidy, eventually, until, until_final
from support.worker.setup import Start, has_ended, setups, until_runs


@pytest.fixture
async def start(redis_url: str, tmp_path: Path) -> AsyncIterator[Start]:
    async with setups(redis_url, tmp_path) as make:
        yield make


async def test_a_plain_function_that_ignores_its_cancel_is_ended_with_its_process(
    start: Start,
) -> None:
    setup = await start()
    worker = setup.worker()
    (stuck,) = await setup.submit("ignore")
    neighbours = await setup.submit("hold", 2)
    await until_runs(setup, 3)
    (child,) = worker.children()
    await setup.store.cancel([stuck])
    (canceled,) = await until_final(setup.store, stuck)
    assert canceled.state is State.CANCELED
    await has_ended(child)
    await until_runs(setup, 5)
    setup.let_go()
    for job in await until_final(setup.store, *neighbours):
        assert (job.state, job.attempt, job.crashes) == (State.COMPLETED, 1, 0)
    assert worker.stop() == 0
    await assert_tidy(setup.store)


@pytest.mark.parametrize("handler", ["ignore", "gil"])
async def test_a_handler_that_outlives_its_timeout_is_ended_with_its_process(
    start: Start, handler: str
) -> None:
    setup = await start(timeouts={"executionSeconds": 1.5})
    worker = setup.worker()
    child = await setup.pid_of_child()
    setup.let_go()  # the neighbours end by themselves, if they get to run
    stuck = await setup.submit(handler, max_attempts=1)
    await until_runs(setup, 1)
    neighbours = await setup.submit("hold", 3)
    (late,) = await until_final(setup.store, *stuck)
    assert late.error is not None
    assert (late.state, late.error.code, late.attempt) == (State.FAILED, "execution-timeout", 1)
    await has_ended(child)
    for job in await until_final(setup.store, *neighbours):
        assert (job.state, job.attempt, job.crashes) == (State.COMPLETED, 1, 0)
    assert worker.stop() == 0
    await assert_tidy(setup.store)


async def test_an_async_handler_past_its_timeout_ends_and_its_process_continues(
    start: Start,
) -> None:
    setup = await start(timeouts={"executionSeconds": 0.5})
    setup.worker()
    child = await setup.pid_of_child()
    (job,) = await until_final(setup.store, *await setup.submit("hold", max_attempts=2))
    assert job.error is not None
    assert (job.state, job.error.code, job.attempt) == (State.FAILED, "execution-timeout", 2)
    assert [each.outcome for each in job.attempts] == ["timed-out", "timed-out"]
    assert await setup.pid_of_child() == child


async def test_a_blocked_event_loop_loses_no_lease(start: Start) -> None:
    setup = await start(timeouts={"leaseSeconds": 1})
    setup.worker()
    child = await setup.pid_of_child()
    (job,) = await until_final(setup.store, *await setup.submit("block", seconds=3))
    assert (job.state, job.attempt, job.releases) == (State.COMPLETED, 1, 0)
    assert await setup.pid_of_child() == child


async def test_a_poison_job_fails_alone(start: Start) -> None:
    setup = await start(retry={"maxCrashes": 1, "initialSeconds": 0.01, "jitter": "none"})
    worker = setup.worker()
    neighbours = await setup.submit("hold", 3)
    await until_runs(setup, 3)
    (poison,) = await setup.submit("segfault", beside=3, patience=0)
    # Several jobs ran at the first crash, so none is charged. Then each runs alone.
    await until(setup.store, neighbours, lambda job: job.suspect or job.releases > 0)
    setup.let_go()
    failed, *fine = await until_final(setup.store, poison, *neighbours, seconds=60)
    assert failed.error is not None
    assert (failed.state, failed.error.code, failed.crashes) == (State.FAILED, "worker-crashed", 2)
    assert failed.error.message == (
        "its worker's process died 2 times while running it: killed by SIGSEGV"
    )
    assert {each.error and each.error.code for each in failed.attempts} == {"worker-crashed"}
    assert {(job.state, job.attempt, job.crashes) for job in fine} == {(State.COMPLETED, 1, 0)}
    # It was seen with three neighbours, then alone as often as its budget allows, and once more.
    assert sum(run[0] == text(poison) for run in setup.runs()) == 3
    assert worker.stop() == 0
    await assert_tidy(setup.store)


async def test_an_idle_child_that_hangs_is_replaced(start: Start) -> None:
    setup = await start()
    worker = setup.worker(idle_seconds=1.0)
    child = await setup.pid_of_child()
    os.kill(child, signal.SIGSTOP)
    await has_ended(child)
    assert await setup.pid_of_child() != child
    assert worker.stop() == 0


async def test_a_child_that_hangs_with_a_job_ends_by_its_timeout(start: Start) -> None:
    setup = await start(timeouts={"executionSeconds": 1})
    worker = setup.worker(idle_seconds=1.0)
    child = await setup.pid_of_child()
    stuck = await setup.submit("hold", max_attempts=1)
    await until_runs(setup, 1)
    os.kill(child, signal.SIGSTOP)
    (job,) = await until_final(setup.store, *stuck)
    assert job.error is not None
    assert job.error.code == "execution-timeout"
    await has_ended(child)
    assert worker.stop() == 0
    await assert_tidy(setup.store)


async def test_a_worker_that_lost_its_lease_abandons_its_jobs_and_continues(start: Start) -> None:
    setup = await start(timeouts={"leaseSeconds": 1})
    worker = setup.worker()
    child = await setup.pid_of_child()
    held = await setup.submit("hold")
    await until_runs(setup, 1)
    # It sends no heartbeat and claims nothing: it looks dead.
    for pid in (worker.pid, child):
        os.kill(pid, signal.SIGSTOP)
    peer = setup.worker()
    await until_runs(setup, 2)
    for pid in (worker.pid, child):
        os.kill(pid, signal.SIGCONT)
    setup.let_go()
    (job,) = await until_final(setup.store, *held)
    assert (job.state, job.attempt, job.crashes) == (State.COMPLETED, 1, 0)
    assert peer.stop() == 0
    assert await setup.pid_of_child() == child
    assert worker.stop() == 0
    await assert_tidy(setup.store)


async def test_a_job_is_handed_back_only_when_its_last_run_is_dead(start: Start) -> None:
    setup = await start(timeouts={"drainSeconds": 0.1})
    worker = setup.worker(pod_uid="pod-1")
    (job_id,) = await setup.submit("lock", lock=setup.file("lock"))
    for run in (1, 2):
        await until_runs(setup, run)
        worker.send(signal.SIGTERM)
        successor = setup.worker(pod_uid=f"pod-{run + 1}")
        assert await asyncio.to_thread(worker.wait) == 0
        worker = successor
    await until_runs(setup, 3)
    setup.let_go()
    (job,) = await until_final(setup.store, job_id)
    assert (job.state, job.attempt, job.releases) == (State.COMPLETED, 1, 2)
    result = (await setup.store.result(job_id))[1]
    assert result is not None
    assert result.body == b"free"


async def test_two_children_share_the_work(start: Start) -> None:
    setup = await start(worker={"processes": 2, "concurrency": 1})
    worker = setup.worker()
    held = await setup.submit("hold", 2)
    await until_runs(setup, 2)
    assert len({run[2] for run in setup.runs()}) == 2
    setup.let_go()
    await until_final(setup.store, *held)
    assert await asyncio.to_thread(worker.stop) == 0
    await eventually(lambda: not worker.children())
