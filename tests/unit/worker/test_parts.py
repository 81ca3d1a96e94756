"""The small parts: CPUs, the run status page, the job's context, metrics."""

import asyncio
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from asyncendpoints_core.common.histogram import Histogram
from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import (
    Attributes,
    Claim,
    ClaimedJob,
    Job,
    Priority,
    Progress,
    Request,
)
from asyncendpoints_core.jobs.states import State
from asyncendpoints_worker import JobContext
from asyncendpoints_worker.cgroup import Cgroup, Memory, default_concurrency
from asyncendpoints_worker.engine import run_status
from asyncendpoints_worker.handlers.attempt import RunningAttempt, Stop
from asyncendpoints_worker.handlers.enqueueing import EnqueueRules
from asyncendpoints_worker.handlers.threads import Threads
from asyncendpoints_worker.metrics import Snapshot, add
from asyncendpoints_worker.supervisor.child_exit import describe


class FakeReporter:
    """Takes reports as an engine does, and keeps them."""

    def __init__(self) -> None:
        self.reported: list[Progress | None] = []

    def notify(self, attempt: RunningAttempt) -> None:
        self.reported.append(attempt.take_progress())


def running(claimed_job: ClaimedJob, reporter: FakeReporter | None = None) -> RunningAttempt:
    rules = EnqueueRules(SystemTime(), frozenset({"report", "step"}))
    return RunningAttempt(reporter or FakeReporter(), claimed_job, 4, 0.0, 12.5, rules)


def claimed(number: int = 1) -> ClaimedJob:
    now = SystemTime().now_ms()
    job_id = ids.new(now)
    job = Job(
        id=job_id,
        name="report",
        state=State.IN_PROGRESS,
        priority=Priority.NORMAL,
        attempt=2,
        max_attempts=4,
        crashes=0,
        releases=0,
        claim=number,
        worker="w",
        revision=3,
        created_ms=now,
        updated_ms=now,
        started_ms=now,
        traceparent="00-1-2-01",
    )
    request = Request(
        "POST",
        "/reports/7",
        query="a=1&a=2&b=&c=%C3%A9",
        route_params={"customer": "7"},
        headers={"x-tenant": "acme"},
        content_type="application/json",
        body=b"{}",
    )
    return ClaimedJob(Claim(job_id, number, "w"), job, request, now + 600_000)


async def test_the_context_shows_the_job() -> None:
    one = claimed()
    job = JobContext(running(one))
    assert job.id == ids.text(one.job.id)
    assert (job.name, job.attempt, job.max_attempts, job.claim) == ("report", 2, 4, 1)
    assert (job.method, job.path, job.content_type) == ("POST", "/reports/7", "application/json")
    assert job.body == b"{}"
    assert job.headers["X-Tenant"] == job.headers.get("x-tenant") == "acme"
    assert job.headers.get("absent") is None
    assert "X-TENANT" in job.headers
    assert job.route_params == {"customer": "7"}
    assert job.query_params == {"a": ["1", "2"], "b": [""], "c": ["é"]}
    assert job.deadline.tzinfo is not None
    assert round(job.deadline.timestamp() * 1000) == one.deadline_ms
    assert job.traceparent == "00-1-2-01"
    assert (job.schedule, job.scheduled_at) == ("", None)


async def test_the_context_shows_the_schedule_that_created_the_job() -> None:
    one = claimed()
    attributes = Attributes(schedule="nightly", scheduled_ms=1_700_000_000_500)
    scheduled = msgspec.structs.replace(one.job, attributes=attributes)
    job = JobContext(running(msgspec.structs.replace(one, job=scheduled)))
    assert job.schedule == "nightly"
    assert job.scheduled_at == datetime(2023, 11, 14, 22, 13, 20, 500_000, tzinfo=UTC)


async def test_cancel_is_a_flag_and_an_exception() -> None:
    attempt = running(claimed())
    job = JobContext(attempt)
    job.raise_if_canceled()
    before = job.cancel_requested
    attempt.request_stop(Stop.CANCEL)
    assert (before, job.cancel_requested) == (False, True)
    with pytest.raises(asyncio.CancelledError):
        job.raise_if_canceled()


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
async def test_progress_outside_of_0_and_1_is_refused(fraction: float) -> None:
    job = JobContext(running(claimed()))
    with pytest.raises(ValueError, match="between 0 and 1"):
        job.progress(fraction)


async def test_progress_may_be_awaited_or_dropped_and_comes_from_any_thread() -> None:
    reporter = FakeReporter()
    job = JobContext(running(claimed(), reporter))
    await job.progress(0.1, "x" * 600)
    job.progress(1)
    await asyncio.to_thread(job.progress, 0.5, "from a thread")
    shown = [each for each in reporter.reported if each is not None]
    assert [each.fraction for each in shown] == [0.1, 1.0, 0.5]
    assert len(shown[0].message) == 500


def test_the_run_status_page_shows_what_runs() -> None:
    descriptor = run_status.create(2)
    view = run_status.RunStatusView(os.dup(descriptor))
    page = run_status.RunStatusPage(descriptor)
    attempts = [running(claimed(2**53 + each)) for each in (1, 2)]
    for attempt in attempts:
        page.enter(attempt)
    page.tick(99.5, 2)
    assert (view.tick, view.held) == (99.5, 2)
    shown = view.running("w")
    assert [each.claim for each in shown] == [attempt.claim for attempt in attempts]
    assert shown[0][1:] == (4, 2, 4, 12.5)
    page.leave(attempts[0])
    assert [each.claim for each in view.running("w")] == [attempts[1].claim]
    page.enter(attempts[0])
    assert len(view.running("w")) == 2
    view.close()
    os.close(descriptor)


def cgroup(tmp_path: Path, files: dict[str, str], own: str) -> tuple[Path, Path]:
    root = tmp_path / "cgroup"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (tmp_path / "own").write_text(own)
    return root, tmp_path / "own"


@pytest.mark.parametrize(
    ("files", "own", "quota"),
    [
        ({"cpu.max": "150000 100000\n"}, "0::/\n", 1.5),
        ({"cpu.max": "max 100000\n"}, "0::/\n", None),
        ({"pod/cpu.max": "50000 100000", "pod/c/cpu.max": "max 100000"}, "0::/pod/c\n", 0.5),
        (
            {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
            "3:cpu:/\n",
            None,
        ),
        (
            {
                "cpu,cpuacct/d/cpu.cfs_quota_us": "200000",
                "cpu,cpuacct/d/cpu.cfs_period_us": "100000",
            },
            "3:cpu,cpuacct:/d\n",
            2.0,
        ),
        ({}, "", None),
    ],
)
def test_the_quota_is_read_from_both_versions_of_cgroups(
    tmp_path: Path, files: dict[str, str], own: str, quota: float | None
) -> None:
    root, own_file = cgroup(tmp_path, files, own)
    assert Cgroup(root, own_file).quota() == quota
    assert default_concurrency(Cgroup(root, own_file)) >= 1


@pytest.mark.parametrize(
    ("files", "own", "memory"),
    [
        (
            {"memory.max": "134217728\n", "memory.events": "low 0\noom 3\noom_kill 2\n"},
            "0::/\n",
            Memory(2, 134_217_728),
        ),
        ({"memory.max": "max\n", "memory.events": "oom_kill 0\n"}, "0::/\n", Memory(0, None)),
        (
            {
                "pod/memory.max": "100",
                "pod/c/memory.max": "max",
                "pod/c/memory.events": "oom_kill 1",
            },
            "0::/pod/c\n",
            Memory(1, 100),
        ),
        (
            {
                "memory/memory.limit_in_bytes": "9223372036854771712",
                "memory/c/memory.limit_in_bytes": "200",
                "memory/c/memory.oom_control": "under_oom 0\noom_kill 4\n",
            },
            "4:memory:/c\n",
            Memory(4, 200),
        ),
        ({}, "", Memory(0, None)),
    ],
)
def test_memory_is_read_from_both_versions_of_cgroups(
    tmp_path: Path, files: dict[str, str], own: str, memory: Memory
) -> None:
    assert Cgroup(*cgroup(tmp_path, files, own)).memory() == memory


@pytest.mark.parametrize(
    ("status", "memory", "cause", "text"),
    [
        (3, Memory(5, None), "exit", "exited with status 3"),
        (-11, Memory(5, None), "signal", "killed by SIGSEGV"),
        (-9, Memory(1, None), "signal", "killed by SIGKILL"),
        (
            -9,
            Memory(2, None),
            "out-of-memory",
            "killed by SIGKILL: the container ran out of memory",
        ),
        (
            -9,
            Memory(2, 134_217_728),
            "out-of-memory",
            "killed by SIGKILL: the container ran out of memory (limit 128 MiB)",
        ),
        (-99, Memory(1, None), "signal", "killed by signal 99"),
    ],
)
def test_the_end_of_a_child_in_words(status: int, memory: Memory, cause: str, text: str) -> None:
    assert describe(status, 1, memory) == (cause, text)


def test_half_a_cpu_is_one_job(tmp_path: Path) -> None:
    root, own = cgroup(tmp_path, {"cpu.max": "50000 100000"}, "0::/")
    assert default_concurrency(Cgroup(root, own)) == 1


def test_figures_of_processes_add_up() -> None:
    total = Snapshot({}, {}, {})
    part = Snapshot(
        {"a": {"completed": Histogram([1, 2], 0.5)}}, {"a": Histogram([3], 1.0)}, {"x": 2}
    )
    for _ in range(2):
        add(total, part)
    assert total.durations["a"]["completed"].counts == [2, 4]
    assert total.starts["a"].total == 2.0
    assert total.counters == {"x": 4}
    assert part.durations["a"]["completed"].counts == [1, 2]


async def test_there_are_as_many_threads_as_calls() -> None:
    threads, gate = Threads("t"), threading.Barrier(4, timeout=10)
    seen: list[str] = []

    def work() -> None:
        gate.wait()
        seen.append(threading.current_thread().name)

    calls = [asyncio.create_task(threads.run(work)) for _ in range(3)]
    await asyncio.to_thread(gate.wait)
    await asyncio.gather(*calls)
    threads.close()
    assert len(set(seen)) == 3
