"""`run_job`: one attempt of a handler, without a server and without a store."""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

import msgspec

from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.policy import Policy
from asyncendpoints_core.jobs.records import (
    Claim,
    ClaimedJob,
    Job,
    JobError,
    OutcomeKind,
    Priority,
    Request,
)
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.process.logs import current_job
from asyncendpoints_worker.engine.outcomes import failed
from asyncendpoints_worker.handlers.attempt import RunningAttempt, Stop
from asyncendpoints_worker.handlers.enqueueing import EnqueueRules, encode_body
from asyncendpoints_worker.handlers.registry import Registry, declaration_of
from asyncendpoints_worker.handlers.runners import ThreadRun, runners
from asyncendpoints_worker.handlers.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from asyncendpoints_core.jobs.records import NewJob, Outcome
    from asyncendpoints_core.jobs.records import Result as Stored
    from asyncendpoints_worker.handlers.attempt import Run

EXECUTION_SECONDS = 600.0
MAX_RESULT_BYTES = 1_048_576
_KINDS: Mapping[OutcomeKind, Literal["failed", "retry", "canceled"]] = {
    OutcomeKind.FAIL: "failed",
    OutcomeKind.RETRY: "retry",
    OutcomeKind.CANCELED: "canceled",
}


@dataclass(frozen=True, slots=True)
class EnqueuedJob:
    """A job that the handler enqueued: `body` as its own handler would get it without an
    annotation, None if it is empty; `delay` in seconds.
    """

    id: str
    name: str
    body: Any = None
    delay: float = 0.0
    priority: str = "normal"
    key: str = ""
    tags: tuple[str, ...] = ()
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class JobRun:
    """How an attempt ended.

    `result` is what a client would get: JSON decoded, text as str, else bytes; None unless it
    completed. `error` has `code` and `message` of a failure. `delay` is in how many seconds a retry
    would run, without jitter. `progress` has every report as (fraction, message), `enqueued` the
    jobs that would be created, none unless it completed, `logs` the messages that the handler
    logged at INFO or above.
    """

    outcome: Literal["completed", "failed", "retry", "canceled"]
    result: Any = None
    content_type: str = ""
    filename: str = ""
    error: JobError | None = None
    delay: float = 0.0
    progress: tuple[tuple[float, str], ...] = ()
    enqueued: tuple[EnqueuedJob, ...] = ()
    logs: tuple[str, ...] = ()


async def run_job(
    function: Callable[..., Any],
    body: Any = None,
    *,
    params: Mapping[str, str] | None = None,
    query: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    method: str = "POST",
    path: str = "/",
    content_type: str | None = None,
    attempt: int = 1,
    max_attempts: int = 4,
    cancel_at: float | None = None,
) -> JobRun:
    """Run one attempt of a handler as a worker would, and return how it ended.

    `function` is decorated or not. `body` is sent as a client does: bytes and text as they are, all
    else as JSON, None as an empty body; `content_type` says otherwise. `params` are those of the
    path. With `cancel_at` the job is canceled once the handler has reported that much progress.

    Raises UsageError for a function that no worker could call.
    """
    declared = declaration_of(function)
    threads = Threads("handler")
    runner = runners(Registry.of([declared]), MAX_RESULT_BYTES, threads, {})[declared.name]
    request = _request(method, path, query, params, headers, content_type, body)
    reporter = _Reporter(cancel_at)
    running = _attempt(request, declared.name, attempt, max_attempts, reporter)
    try:
        with _captured(running) as logs:
            ended = await _run(runner, running)
    finally:
        threads.close()
    shown: dict[str, Any] = {"progress": tuple(reporter.reports), "logs": tuple(logs)}
    if isinstance(ended, BaseException):
        return _unfinished(failed(running, ended, Policy(), lambda: 1.0, draining=False), shown)
    shown["enqueued"] = tuple(map(_shown, running.end()))
    result = _decoded(ended.content_type, ended.body)
    return JobRun("completed", result, ended.content_type, ended.filename, **shown)


def _request(
    method: str,
    path: str,
    query: Mapping[str, Any] | None,
    params: Mapping[str, str] | None,
    headers: Mapping[str, str] | None,
    content_type: str | None,
    body: Any,
) -> Request:
    """Return the request that the gateway would have kept."""
    data, default = encode_body(body)
    kind = default if content_type is None else content_type
    kept = {name.lower(): value for name, value in (headers or {}).items()}
    search = urlencode(query or {}, doseq=True)
    return Request(method, path, search, dict(params or {}), kept, kind, data)


def _unfinished(outcome: Outcome, shown: Mapping[str, Any]) -> JobRun:
    return JobRun(_KINDS[outcome.kind], error=outcome.error, delay=outcome.delay_ms / 1000, **shown)


def _decoded(content_type: str, body: bytes) -> Any:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "application/json" or media_type.endswith("+json"):
        return msgspec.json.decode(body)
    return body.decode() if media_type.startswith("text/") else body


def _shown(new: NewJob) -> EnqueuedJob:
    request = new.request
    return EnqueuedJob(
        id=ids.text(new.id),
        name=new.name,
        body=_decoded(request.content_type, request.body) if request.body else None,
        delay=new.delay_ms / 1000,
        priority=new.priority.name.lower(),
        key=new.attributes.key,
        tags=new.attributes.tags,
        content_type=request.content_type,
    )


def _attempt(
    request: Request, name: str, number: int, max_attempts: int, reporter: _Reporter
) -> RunningAttempt:
    clock = SystemTime()
    now, job_id = clock.now_ms(), ids.new(clock.now_ms())
    job = Job(
        id=job_id,
        name=name,
        state=State.IN_PROGRESS,
        priority=Priority.NORMAL,
        attempt=number,
        max_attempts=max(number, max_attempts),
        crashes=0,
        releases=0,
        claim=number,
        worker="test",
        revision=1,
        created_ms=now,
        updated_ms=now,
    )
    deadline_ms = now + round(EXECUTION_SECONDS * 1000)
    claimed = ClaimedJob(Claim(job_id, number, "test"), job, request, deadline_ms)
    began = clock.monotonic()
    rules = EnqueueRules(clock)
    return RunningAttempt(reporter, claimed, 0, began, began + EXECUTION_SECONDS, rules)


class _Reporter:
    """Keeps the progress of an attempt, and cancels it at `cancel_at`."""

    def __init__(self, cancel_at: float | None) -> None:
        self.reports: list[tuple[float, str]] = []
        self._cancel_at = cancel_at
        self._loop = asyncio.get_running_loop()

    def notify(self, attempt: RunningAttempt) -> None:
        """See ProgressReporter."""
        progress = attempt.take_progress()
        if progress is None:
            return
        self.reports.append((progress.fraction, progress.message))
        if self._cancel_at is not None and progress.fraction >= self._cancel_at:
            self._cancel_at = None
            if attempt.task is None:
                attempt.stop = Stop.CANCEL
            else:
                self._loop.call_soon_threadsafe(attempt.request_stop, Stop.CANCEL)


async def _run(runner: Run | ThreadRun, attempt: RunningAttempt) -> Stored | BaseException:
    """Return the result, or what ended the attempt."""
    try:
        if not isinstance(runner, ThreadRun):
            return await _in_task(runner, attempt)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()

        def ended(_: RunningAttempt, value: Any, error: BaseException | None) -> None:
            done.set_result(value if error is None else error)

        runner.start(attempt, loop, ended)
        value: Any = await done
        return await _in_task(value, attempt) if callable(value) else value
    except (Exception, asyncio.CancelledError, SystemExit) as error:
        if isinstance(error, asyncio.CancelledError) and attempt.stop is None:
            raise  # the test itself ends
        return error


async def _in_task(run: Run, attempt: RunningAttempt) -> Stored:
    async def enter() -> Stored:
        attempt.entered = True
        return await run(attempt)

    task = asyncio.create_task(enter())
    attempt.task = task  # type: ignore[assignment]  # only canceled
    return await task


@contextmanager
def _captured(attempt: RunningAttempt) -> Iterator[list[str]]:
    """Collect the messages that the attempt logs."""
    logs: list[str] = []
    job_id, root = attempt.claimed.job.id, logging.getLogger()

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if current_job.get() == job_id:
                logs.append(record.getMessage())

    collector, level = Collector(logging.INFO), root.level
    root.addHandler(collector)
    root.setLevel(min(level or logging.WARNING, logging.INFO))
    try:
        yield logs
    finally:
        root.removeHandler(collector)
        root.setLevel(level)
