"""One attempt at one job: calling the handler and turning what happens into an outcome."""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
from typing import TYPE_CHECKING, Any, Final, Protocol

from asyncendpoints_core.errors import PermanentError, RetryAfter
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import (
    MAX_ERROR_CHARS,
    ErrorCode,
    JobError,
    Outcome,
    OutcomeKind,
    canceled,
    fail,
    release,
    retry_later,
    timed_out,
)
from asyncendpoints_core.jobs.retry import decide
from asyncendpoints_worker.engine.slots import Slot, Stop
from asyncendpoints_worker.handlers import signature
from asyncendpoints_worker.handlers.context import JobContext
from asyncendpoints_worker.handlers.results import encode

if TYPE_CHECKING:
    from asyncendpoints_core.jobs.policy import Policy
    from asyncendpoints_core.jobs.records import Claim
    from asyncendpoints_worker.handlers.registry import Declaration, Registry
    from asyncendpoints_worker.handlers.threads import Threads

log = logging.getLogger("asyncendpoints.worker")
COMPLETE: Final = OutcomeKind.COMPLETE
MAX_CODE_BYTES: Final = 255
TIMEOUT_MESSAGE: Final = "the execution timeout passed"


class Runner(Protocol):
    """Something that can run a job."""

    def start(self, slot: Slot) -> None:
        """Begin the attempt; it ends with `slot.host.finish`."""
        ...


class HandlerError(Exception):
    """A failed attempt whose code, message and retry the runner itself has worked out."""

    def __init__(self, error: JobError, retry_after_ms: int | None = None) -> None:
        """Keep what the client will see, and the delay that was asked for."""
        super().__init__(error.message)
        self.error = error
        self.retry_after_ms = retry_after_ms


class NotSent(Exception):  # not a failure of the job: nothing has happened to it
    """The attempt never reached any code of the user's: the job goes back uncharged."""


class Interrupted(Exception):  # as above
    """The attempt was cut off because the pod ends: the job goes back, no attempt spent."""


def text_of(error: BaseException) -> str:
    """Return `str(error)` as a client may see it: UTF-8, at most 1,000 characters."""
    try:
        text = str(error)
    except Exception:
        return ""
    return text[:MAX_ERROR_CHARS].encode(errors="replace").decode()


def code_of(error: PermanentError) -> str:
    """Return the code given to a PermanentError, at most 255 bytes of it; `permanent` for what is
    no text, such as a status number: a job has to end even so.
    """
    code: object = error.code
    if not (isinstance(code, str) and code):
        return ErrorCode.PERMANENT
    return code.encode(errors="replace")[:MAX_CODE_BYTES].decode(errors="ignore")


def failed(slot: Slot, error: BaseException) -> Outcome:
    """Turn what a handler raised into the outcome of its attempt."""
    if isinstance(error, asyncio.CancelledError | TimeoutError) and slot.stop is not None:
        job = slot.claimed.job
        return stopped(slot.claim, slot.stop, (job.attempt, job.max_attempts), slot.host.policy)
    if isinstance(error, NotSent):
        return release(slot.claim, started=False)
    if isinstance(error, Interrupted):
        return release(slot.claim)
    after_ms = None
    if isinstance(error, PermanentError):
        reason = JobError(code_of(error), text_of(error))
    elif isinstance(error, RetryAfter):
        reason = JobError(ErrorCode.HANDLER_ERROR, text_of(error), True)
        after_ms = round(error.seconds * 1000)
    elif isinstance(error, HandlerError):
        reason, after_ms = error.error, error.retry_after_ms
    else:
        reason = JobError(ErrorCode.HANDLER_ERROR, text_of(error), True)
        _log(slot, error)
    return _spend(slot, reason, after_ms)


def _spend(slot: Slot, reason: JobError, after_ms: int | None) -> Outcome:
    job, policy = slot.claimed.job, slot.host.policy
    decision = decide(policy.retry, job.attempt, job.max_attempts, reason, random.random, after_ms)
    if decision.delay_ms is None:
        return fail(slot.claim, reason)
    return retry_later(slot.claim, reason, decision.delay_ms)


def stopped(claim: Claim, why: Stop, run: tuple[int, int], policy: Policy) -> Outcome:
    """Return the outcome of an attempt that ended because it was asked to.

    `run` is its number and how many there may be.
    """
    if why is Stop.CANCEL:
        return canceled(claim)
    if why is Stop.TIMEOUT:
        reason = JobError(ErrorCode.EXECUTION_TIMEOUT, TIMEOUT_MESSAGE, True)
        decision = decide(policy.retry, *run, reason, random.random)
        return timed_out(claim, reason, decision.delay_ms)
    return release(claim)


def _log(slot: Slot, error: BaseException) -> None:
    job = slot.claimed.job
    log.warning(
        "handler failed",
        exc_info=error,
        extra={
            "job_id": ids.text(job.id),
            "job_name": job.name,
            "attempt": job.attempt,
            "traceparent": job.traceparent,
        },
    )


class AsyncRunner:
    """Runs a coroutine function: a task for each attempt, so that it can be canceled."""

    def __init__(self, declared: Declaration, call: signature.Signature, limit: int) -> None:
        """Run `declared` as `call` says; results have at most `limit` bytes."""
        self._function = declared.function
        self._decode = call.decode
        self._arity = call.arity
        self._limit = limit

    def start(self, slot: Slot) -> None:
        """Begin the attempt in a task."""
        slot.task = slot.host.loop.create_task(self._attempt(slot))

    async def _attempt(self, slot: Slot) -> None:
        slot.entered = True
        try:
            if slot.stop is not None:
                raise asyncio.CancelledError
            if self._arity == 0:
                value = await self._function()
            elif self._arity == 1:
                value = await self._function(self._decode(slot.claimed.request))
            else:
                value = await self._function(self._decode(slot.claimed.request), JobContext(slot))
            outcome = Outcome(slot.claim, COMPLETE, result=encode(value, self._limit))
        except BaseException as error:
            outcome = failed(slot, error)
        slot.host.finish(slot, outcome)


class SyncRunner:
    """Runs a plain function in a thread."""

    def __init__(
        self, declared: Declaration, call: signature.Signature, limit: int, threads: Threads
    ) -> None:
        """Run `declared` as `call` says; results have at most `limit` bytes."""
        self._function = declared.function
        self._call = call
        self._limit = limit
        self._threads = threads

    def start(self, slot: Slot) -> None:
        """Begin the attempt in a thread."""
        self._threads.submit(self._attempt, slot)

    def _attempt(self, slot: Slot) -> None:
        slot.entered = True
        loop = slot.host.loop
        try:
            value = self._run(slot)
            if inspect.isawaitable(value):
                loop.call_soon_threadsafe(self._await, slot, value)
                return
            outcome = Outcome(slot.claim, COMPLETE, result=encode(value, self._limit))
        except BaseException as error:
            outcome = failed(slot, error)
        try:
            loop.call_soon_threadsafe(slot.host.finish, slot, outcome)
        except RuntimeError:
            log.debug("a handler's thread outlived its worker")

    def _run(self, slot: Slot) -> Any:
        if slot.stop is not None:
            raise asyncio.CancelledError
        if self._call.arity == 0:
            return self._function()
        body = self._call.decode(slot.claimed.request)
        if self._call.arity == 1:
            return self._function(body)
        return self._function(body, JobContext(slot))

    def _await(self, slot: Slot, value: Any) -> None:
        """Go on, on the loop, with a plain function that returned an awaitable."""

        async def rest() -> None:
            try:
                if slot.stop is not None:
                    raise asyncio.CancelledError
                outcome = Outcome(slot.claim, COMPLETE, result=encode(await value, self._limit))
            except BaseException as error:
                outcome = failed(slot, error)
            slot.host.finish(slot, outcome)

        slot.task = slot.host.loop.create_task(rest())


def runners(registry: Registry, limit: int, threads: Threads) -> dict[str, Runner]:
    """Return a runner for each handler; UsageError for a signature that cannot be called."""
    found: dict[str, Runner] = {}
    for name, declared in registry.handlers.items():
        call = signature.read(declared)
        if call.is_async:
            found[name] = AsyncRunner(declared, call, limit)
        else:
            found[name] = SyncRunner(declared, call, limit, threads)
    return found


async def call_hook(function: Any, threads: Threads) -> None:
    """Run one `@on_startup` or `@on_shutdown` function; what it raises is raised."""
    if inspect.iscoroutinefunction(function):
        await function()
        return
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def run() -> None:
        try:
            value = function()
        except BaseException as error:
            loop.call_soon_threadsafe(_settle, done, None, error)
        else:
            loop.call_soon_threadsafe(_settle, done, value, None)

    threads.submit(run)
    value = await done
    if inspect.isawaitable(value):
        await value


def _settle(done: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(value)
    else:
        done.set_exception(error)
