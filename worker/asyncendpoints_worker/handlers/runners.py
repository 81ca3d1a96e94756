"""Calling Python handlers: async functions in a task, plain functions in a thread."""

from __future__ import annotations

import asyncio
import inspect
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from asyncendpoints_core.process.job_logs import current_log
from asyncendpoints_core.process.logs import current_job
from asyncendpoints_worker.handlers import signature
from asyncendpoints_worker.handlers.context import JobContext
from asyncendpoints_worker.handlers.results import encode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from asyncendpoints_core.jobs.records import Result
    from asyncendpoints_worker.handlers.attempt import Run, RunningAttempt
    from asyncendpoints_worker.handlers.registry import Declaration, Registry
    from asyncendpoints_worker.handlers.result_check import ResultCheck
    from asyncendpoints_worker.handlers.threads import Threads

    Encode = Callable[[Any], Result]

log = logging.getLogger("asyncendpoints.worker")


def runners(
    registry: Registry, limit: int, threads: Threads, checks: Mapping[str, ResultCheck]
) -> dict[str, Run | ThreadRun]:
    """Return what runs each handler, whose results have at most `limit` bytes and pass `checks`.

    Raises UsageError for a signature that cannot be called.
    """
    found: dict[str, Run | ThreadRun] = {}
    for name, declared in registry.handlers.items():
        call = signature.read(declared)
        encoded = _encoder(declared, limit, checks.get(name))
        if call.is_async:
            found[name] = _async_runner(declared.function, call, encoded)
        else:
            found[name] = ThreadRun(declared.function, call, encoded, threads)
    return found


def _encoder(declared: Declaration, limit: int, check: ResultCheck | None) -> Encode:
    """Return the function that encodes a handler's results."""
    encoded: Encode = partial(encode, limit=limit)
    if declared.by_annotation:
        from asyncendpoints_worker.handlers.typed_results import by_annotation  # pydantic

        encoded = partial(encode, limit=limit, plain=by_annotation(declared))
    if check is None:
        return encoded
    return lambda value: check.check(encoded(value))


def _async_runner(function: Callable[..., Any], call: signature.Signature, encoded: Encode) -> Run:
    arity, decode = call.arity, call.decode

    async def run(attempt: RunningAttempt) -> Result:
        _enter(attempt)
        if arity == 0:
            return encoded(await function())
        body = decode(attempt.claimed.request)
        if arity == 1:
            return encoded(await function(body))
        return encoded(await function(body, JobContext(attempt)))

    return run


class ThreadRun:
    """Runs a plain function in a thread. Not a coroutine: a task for each job would cost a third
    of what the thread does.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        call: signature.Signature,
        encoded: Encode,
        threads: Threads,
    ) -> None:
        """Run `function` as `call` says; `encoded` makes its results what is stored."""
        self._function = function
        self._call = call
        self._encoded = encoded
        self._threads = threads

    def start(
        self,
        attempt: RunningAttempt,
        loop: asyncio.AbstractEventLoop,
        ended: Callable[[RunningAttempt, Result | Run | None, BaseException | None], None],
    ) -> None:
        """Run the function, then call `ended(attempt, value, error)` on `loop`.

        `value` is the result, or what has to be run for it if the function returned an awaitable.
        """
        self._threads.submit(self._work, attempt, loop, ended)

    def _work(
        self,
        attempt: RunningAttempt,
        loop: asyncio.AbstractEventLoop,
        ended: Callable[[RunningAttempt, Result | Run | None, BaseException | None], None],
    ) -> None:
        _enter(attempt)
        try:
            try:
                value = self._invoke(attempt)
            except BaseException as error:
                loop.call_soon_threadsafe(ended, attempt, None, error)
            else:
                loop.call_soon_threadsafe(ended, attempt, value, None)
        except RuntimeError:
            log.debug("a handler's thread outlived its event loop")

    def _invoke(self, attempt: RunningAttempt) -> Result | Run:
        if attempt.stop is not None:
            raise asyncio.CancelledError
        if self._call.arity == 0:
            value = self._function()
        else:
            body = self._call.decode(attempt.claimed.request)
            arguments = (body,) if self._call.arity == 1 else (body, JobContext(attempt))
            value = self._function(*arguments)
        if inspect.isawaitable(value):
            return partial(self._await, value)
        return self._encoded(value)

    async def _await(self, value: Awaitable[Any], attempt: RunningAttempt) -> Result:
        _enter(attempt)
        return self._encoded(await value)


def _enter(attempt: RunningAttempt) -> None:
    """Let what this task or thread logs belong to the attempt."""
    current_job.set(attempt.claimed.job.id)
    if attempt.log is not None:
        current_log.set(attempt.log)


async def call_hook(function: Any, threads: Threads) -> None:
    """Run one `@on_startup` or `@on_shutdown` function; what it raises is raised."""
    if inspect.iscoroutinefunction(function):
        await function()
        return
    value = await threads.run(function)
    if inspect.isawaitable(value):
        await value
