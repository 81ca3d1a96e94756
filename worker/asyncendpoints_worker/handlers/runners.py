"""Calling Python handlers: async functions in a task, plain functions in a thread."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

from asyncendpoints_core.jobs.records import Result
from asyncendpoints_worker.handlers import signature
from asyncendpoints_worker.handlers.context import JobContext
from asyncendpoints_worker.handlers.results import encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints_worker.handlers.attempt import Run, RunningAttempt
    from asyncendpoints_worker.handlers.registry import Registry
    from asyncendpoints_worker.handlers.threads import Threads


def runners(registry: Registry, limit: int, threads: Threads) -> dict[str, Run]:
    """Return what runs each handler, whose results have at most `limit` bytes.

    Raises UsageError for a signature that cannot be called.
    """
    found: dict[str, Run] = {}
    for name, declared in registry.handlers.items():
        call = signature.read(declared)
        if call.is_async:
            found[name] = _async_runner(declared.function, call, limit)
        else:
            found[name] = _thread_runner(declared.function, call, limit, threads)
    return found


def _async_runner(function: Callable[..., Any], call: signature.Signature, limit: int) -> Run:
    arity, decode = call.arity, call.decode

    async def run(attempt: RunningAttempt) -> Result:
        if arity == 0:
            value = await function()
        elif arity == 1:
            value = await function(decode(attempt.claimed.request))
        else:
            value = await function(decode(attempt.claimed.request), JobContext(attempt))
        return encode(value, limit)

    return run


def _thread_runner(
    function: Callable[..., Any], call: signature.Signature, limit: int, threads: Threads
) -> Run:
    def invoke(attempt: RunningAttempt) -> Any:
        """Return the encoded result, or the awaitable that the function returned."""
        if attempt.stop is not None:
            raise asyncio.CancelledError
        if call.arity == 0:
            value = function()
        else:
            body = call.decode(attempt.claimed.request)
            value = function(body) if call.arity == 1 else function(body, JobContext(attempt))
        return value if inspect.isawaitable(value) else encode(value, limit)

    async def run(attempt: RunningAttempt) -> Result:
        attempt.in_thread = True
        value, error = await threads.run(invoke, attempt)
        attempt.in_thread = False
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback refers to this frame: leave no cycle
        if isinstance(value, Result):
            return value
        if attempt.stop is not None:
            raise asyncio.CancelledError
        return encode(await value, limit)

    return run


async def call_hook(function: Any, threads: Threads) -> None:
    """Run one `@on_startup` or `@on_shutdown` function; what it raises is raised."""
    if inspect.iscoroutinefunction(function):
        await function()
        return
    value, error = await threads.run(function)
    if error is not None:
        raise error
    if inspect.isawaitable(value):
        await value
