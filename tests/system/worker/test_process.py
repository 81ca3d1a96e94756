"""Supervisor and children as real processes on a real Redis: normal operation and shutdown."""

import asyncio
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis import Redis

from asyncendpoints_core.jobs.records import Job
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.process.exit_report import version_refused
from asyncendpoints_core.store.record_layout import FORMAT_VERSION, PLAIN_VERSION
from support.paths import TESTS
from support.ports import free_port
from support.redis.server import RedisServer
from support.store.work import assert_tidy, eventually, until, until_final, until_running
from support.worker.process import WorkerProcess, children_of, kill
from support.worker.setup import (
    FOLDER,
    Setup,
    Start,
    has_ended,
    is_draining,
    setups,
    until_runs,
)


@pytest.fixture
async def start(redis_url: str, tmp_path: Path) -> AsyncIterator[Start]:
    async with setups(redis_url, tmp_path) as make:
        yield make


def error_code(job: Job) -> str:
    return job.error.code if job.error else ""


async def test_jobs_run_are_retried_fail_and_are_canceled(start: Start) -> None:
    setup = await start()
    worker = setup.worker()
    flaky = await setup.submit("flaky", failures=2)
    permanent = await setup.submit("permanent")
    stopped = [*await setup.submit("hold"), *await setup.submit("cooperate")]
    await until_running(setup.store, *stopped)
    await until_runs(setup, 2)
    await setup.store.cancel(stopped)
    jobs = await until_final(setup.store, *flaky, *permanent, *stopped)
    assert [job.state for job in jobs] == [
        State.COMPLETED,
        State.FAILED,
        State.CANCELED,
        State.CANCELED,
    ]
    assert jobs[0].attempt == 3
    assert error_code(jobs[1]) == "permanent"
    assert worker.stop() == 0
    await assert_tidy(setup.store)
    assert await setup.store.workers() == []


async def test_progress_is_seen_from_outside(start: Start) -> None:
    setup = await start()
    setup.worker()
    job_ids = await setup.submit("progress")
    (job,) = await until(setup.store, job_ids, lambda job: job.progress is not None)
    assert job.progress is not None
    assert (job.progress.fraction, job.progress.message) == (0.25, "a quarter")
    setup.let_go()
    await until_final(setup.store, *job_ids)


async def test_sigterm_lets_running_jobs_finish_and_starts_no_other(start: Start) -> None:
    setup = await start(worker={"concurrency": 2})
    worker = setup.worker()
    job_ids = await setup.submit("hold", 4)
    await until_runs(setup, 2)
    worker.send(signal.SIGTERM)
    await eventually(lambda: is_draining(setup))
    setup.let_go()
    assert worker.wait() == 0
    jobs = [found.job for found in await setup.store.get(job_ids) if found.job]
    assert sorted(job.state for job in jobs) == [State.COMPLETED] * 2 + [State.QUEUED] * 2
    assert all(job.attempt == 0 for job in jobs if job.state is State.QUEUED)
    assert len(setup.runs()) == 2
    await assert_tidy(setup.store)


async def test_what_does_not_finish_in_the_time_to_drain_goes_back(start: Start) -> None:
    setup = await start(timeouts={"drainSeconds": 0.1})
    worker = setup.worker()
    job_ids = [*await setup.submit("hold"), *await setup.submit("ignore")]
    await until_runs(setup, 2)
    assert worker.stop() == 0
    for found in await setup.store.get(job_ids):
        assert found.job is not None
        assert (found.job.state, found.job.attempt, found.job.crashes) == (State.QUEUED, 0, 0)
    await assert_tidy(setup.store)


async def test_a_second_interrupt_ends_at_once_with_130(start: Start) -> None:
    setup = await start()
    worker = setup.worker()
    job_ids = await setup.submit("hold")
    await until_runs(setup, 1)
    worker.send(signal.SIGINT)
    await eventually(lambda: is_draining(setup))
    worker.send(signal.SIGINT)
    assert worker.wait() == 130
    (found,) = await setup.store.get(job_ids)
    assert found.job is not None
    assert (found.job.state, found.job.attempt) == (State.QUEUED, 0)


async def test_a_killed_child_is_replaced_and_its_job_runs_again(start: Start) -> None:
    setup = await start()
    worker = setup.worker()
    job_ids = await setup.submit("hold")
    await until_runs(setup, 1)
    (child,) = worker.children()
    kill(child)
    # Its lease would last 15 s: the supervisor's report is what gives the job back.
    await until(setup.store, job_ids, lambda job: job.crashes == 1, 5)
    await until_runs(setup, 2)
    setup.let_go()
    (job,) = await until_final(setup.store, *job_ids)
    assert (job.state, job.attempt, job.crashes) == (State.COMPLETED, 1, 1)
    first, second = setup.runs()
    assert first[2] != second[2]
    assert int(first[1]) < int(second[1])


async def test_the_death_of_the_supervisor_ends_its_children(start: Start) -> None:
    setup = await start(timeouts={"leaseSeconds": 1}, worker={"processes": 2})
    worker = setup.worker()
    job_ids = [*await setup.submit("hold"), *await setup.submit("gil")]
    await until_runs(setup, 2)
    children = worker.children()
    assert len(children) == 2
    kill(worker.pid)
    worker.wait()
    await has_ended(*children)
    setup.let_go()
    await setup.store.cancel(job_ids[1:])
    setup.worker()
    held, stuck = await until_final(setup.store, *job_ids)
    assert (held.state, held.attempt, held.crashes) == (State.COMPLETED, 1, 0)
    assert stuck.state is State.CANCELED


async def test_a_supervisor_takes_back_what_its_predecessor_in_the_pod_held(start: Start) -> None:
    setup = await start(timeouts={"leaseSeconds": 300})
    worker = setup.worker(pod_uid="pod-1")
    job_ids = await setup.submit("hold")
    await until_runs(setup, 1)
    kill(worker.pid)
    worker.wait()
    setup.let_go()
    setup.worker(pod_uid="pod-1")
    (job,) = await until_final(setup.store, *job_ids)
    assert (job.state, job.attempt) == (State.COMPLETED, 1)


@pytest.mark.parametrize("of", ["child", "supervisor"])
async def test_what_a_handler_started_dies_with_its_process(start: Start, of: str) -> None:
    setup = await start()
    worker = setup.worker()
    pids = Path(setup.file("pids"))
    await setup.submit("subprocesses", pids=str(pids))
    await eventually(pids.exists)
    started = [int(each) for each in pids.read_text().split()]
    (child,) = worker.children()
    kill(child if of == "child" else worker.pid)
    await has_ended(child, *started)


async def test_a_job_without_a_handler_waits_for_a_worker_that_has_it(start: Start) -> None:
    setup = await start()
    old = setup.worker()
    job_ids = await setup.submit("hold_later")
    (job,) = await until(setup.store, job_ids, lambda job: job.state is State.SCHEDULED)
    assert (error_code(job), job.attempt, job.releases) == ("handler-missing", 0, 0)
    assert old.stop() == 0
    newer = WorkerProcess(setup.endpoint, setup.url, FOLDER.parent / "jobs_newer")
    setup.workers.append(newer)
    (job,) = await until_final(setup.store, *job_ids)
    assert (job.state, job.attempt) == (State.COMPLETED, 1)


async def test_probes_and_metrics(start: Start) -> None:
    setup = await start()
    port = free_port()
    worker = setup.worker(admin_port=port)
    await setup.pid_of_child()
    assert await _get(port, "/livez") == (200, "ok\n")
    assert await _get(port, "/readyz") == (200, "ok\n")
    async with asyncio.timeout(30):
        while True:
            status, text = await _get(port, "/metrics")
            assert status == 200
            if 'asyncendpoints_attempts_total{job="pid",outcome="completed"} 1.0' in text:
                break
            await asyncio.sleep(0.1)
    assert "asyncendpoints_time_to_start_seconds_bucket" in text
    worker.stop()


async def test_the_probes_do_not_depend_on_redis(start: Start) -> None:
    with RedisServer() as server:
        setup = await start(server.url)
        port = free_port()
        setup.worker(admin_port=port)
        await setup.pid_of_child()
        server.pause()
        for path in ("/livez", "/readyz"):
            assert await _get(port, path) == (200, "ok\n")
        server.resume()


async def _get(port: int, path: str) -> tuple[int, str]:
    def get() -> tuple[int, str]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.status, answer.read().decode()

    return await asyncio.to_thread(get)


async def test_a_handler_that_cannot_be_imported_is_status_2_and_one_line(start: Start) -> None:
    for module, words in (("absent_jobs", "absent_jobs"), ("process", "no @handler")):
        setup = await start(worker={"handlers": module})
        folder = TESTS / "support" / "worker"
        with WorkerProcess(
            setup.endpoint, setup.url, folder, stderr=subprocess.PIPE, log_level="error"
        ) as worker:
            assert worker.wait() == 2
            errors = worker.errors()
        (line,) = (each for each in errors.splitlines() if each.startswith("asyncendpoints:"))
        assert line.startswith("asyncendpoints: worker.handlers:")
        assert words in line
        assert "Traceback" not in errors


async def test_a_redis_that_is_not_there_is_status_1_and_one_line(start: Start) -> None:
    setup = await start()
    url = f"redis://user:secret@127.0.0.1:{free_port()}/0"
    with WorkerProcess(setup.endpoint, url, FOLDER, stderr=subprocess.PIPE) as worker:
        assert worker.wait() == 1
        lines = worker.errors().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("asyncendpoints: ")
    assert "secret" not in lines[0]


async def test_in_a_pod_a_worker_waits_for_redis(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with RedisServer() as server, log.open("wb") as stderr:
        setup = await start(server.url)
        await asyncio.to_thread(server.stop)
        port = free_port()
        worker = setup.worker(admin_port=port, pod_uid="pod-1", stderr=stderr)
        await eventually(lambda: "waiting for the store" in log.read_text())
        # The startup probe is the same: an outage uses up no time that slow imports may need.
        await eventually(lambda: is_ready(port))
        assert await _status(port, "/livez") == 200
        await asyncio.to_thread(server.start)
        await setup.pid_of_child()
        assert worker.stop() == 0
        assert log.read_text().count("waiting for the store") == 1


async def is_ready(port: int) -> bool:
    return _answers(port) and await _status(port, "/readyz") == 200


async def test_what_waits_for_redis_in_a_pod_ends_with_sigterm(start: Start) -> None:
    setup = await start()
    url, port = f"redis://127.0.0.1:{free_port()}/0", free_port()
    with WorkerProcess(setup.endpoint, url, FOLDER, admin_port=port, pod_uid="pod-1") as worker:
        await eventually(lambda: is_ready(port))  # its child waits as well
        assert worker.stop() == 0
    with WorkerProcess(setup.endpoint, url, FOLDER, admin_port=port, pod_uid="pod-1") as worker:
        await eventually(lambda: _answers(port))
        assert worker.stop() == 0


async def test_in_a_pod_bad_handlers_end_a_worker_that_waits_for_redis(start: Start) -> None:
    setup = await start(worker={"handlers": "absent_jobs"})
    url = f"redis://127.0.0.1:{free_port()}/0"
    with WorkerProcess(
        setup.endpoint, url, FOLDER, pod_uid="pod-1", stderr=subprocess.PIPE
    ) as worker:
        assert worker.wait() == 2
        assert "absent_jobs" in worker.errors()


NEWER = FORMAT_VERSION + 1


async def test_a_store_of_another_format_is_refused_at_the_start(
    start: Start, tmp_path: Path
) -> None:
    setup = await start()
    say_format(setup, NEWER)
    words = tmp_path / "termination-log"
    words.touch()
    with setup.worker(pod_uid="pod-1", termination_log=words) as worker:
        assert worker.wait() == 1
    said = version_refused(words.read_text())
    assert said.startswith(f"the store in Redis is of format {NEWER}, asyncendpoints ")
    assert said.endswith(f" reads formats up to {FORMAT_VERSION}")


async def test_a_worker_whose_store_becomes_another_format_ends_and_says_so(
    start: Start, tmp_path: Path
) -> None:
    setup = await start()
    words = tmp_path / "termination-log"
    words.touch()
    with setup.worker(pod_uid="pod-1", termination_log=words) as worker:
        job_ids = await setup.submit("hold")
        await until_runs(setup, 1)
        say_format(setup, NEWER)
        assert worker.wait() == 1
    assert f"is of format {NEWER}" in version_refused(words.read_text())
    say_format(setup, PLAIN_VERSION)
    setup.let_go()
    setup.worker(pod_uid="pod-1")  # one that the store takes, as its successor
    (job,) = await until_final(setup.store, *job_ids)
    assert (job.state, job.attempt, job.crashes) == (State.COMPLETED, 1, 0)


def say_format(setup: Setup, number: int) -> None:
    """Let the store say that it is of another format."""
    with Redis.from_url(setup.url) as client:
        client.hset(f"aep:{{{setup.endpoint.key}}}:meta", "schema", str(number))


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


async def _status(port: int, path: str) -> int:
    try:
        return (await _get(port, path))[0]
    except urllib.error.HTTPError as error:
        with error:
            return error.code


async def test_redis_frozen_for_longer_than_the_lease_costs_no_run(
    start: Start, tmp_path: Path
) -> None:
    with RedisServer() as server:
        setup = await start(server.url, timeouts={"leaseSeconds": 5})
        workers = [setup.worker() for _ in range(2)]
        job_ids = await setup.submit("hold", 8)
        await until_runs(setup, 8)
        server.pause()
        setup.let_go()  # the handlers end while the store is unreachable
        await asyncio.sleep(7)  # what is tested is that time passes
        server.resume()
        jobs = await until_final(setup.store, *job_ids)
        assert {(job.state, job.attempt, job.crashes, job.releases) for job in jobs} == {
            (State.COMPLETED, 1, 0, 0)
        }
        assert len(setup.runs()) == 8
        assert [worker.stop() for worker in workers] == [0, 0]
        await assert_tidy(setup.store)


async def test_redis_restarted_with_aof_while_jobs_run(start: Start) -> None:
    with RedisServer(appendonly=True, appendfsync="always") as server:
        setup = await start(server.url)
        worker = setup.worker()
        job_ids = await setup.submit("hold", 4)
        waiting = await setup.submit("hold", 3)
        await until_runs(setup, 4)
        await asyncio.to_thread(server.restart, kill=True)
        setup.let_go()
        jobs = await until_final(setup.store, *job_ids, *waiting)
        assert {(job.state, job.attempt) for job in jobs} == {(State.COMPLETED, 1)}
        assert len(setup.runs()) == 7
        assert worker.stop() == 0
        await assert_tidy(setup.store)


def test_the_tests_helper_sees_children() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        assert process.pid in children_of(os.getpid())
        process.kill()
