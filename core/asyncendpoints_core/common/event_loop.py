"""How every role starts its event loop, on uvloop where that is installed, and ends its process."""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import gc
import logging
import os
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

from asyncendpoints_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")
log = logging.getLogger("asyncendpoints")

CANCEL_SECONDS: Final = 1.0
"""How long tasks that user code left behind may take to end once they are canceled."""
_PACKAGES: Final = frozenset(
    f"asyncendpoints_{one}" for one in ("cli", "client", "console", "core", "gateway", "worker")
)
IDLE_SECONDS: Final = 0.2
"""How long idle threads of the default executor may take to end."""
_THREADS: Final = "asyncio"
EXIT_SECONDS: Final = 2.0
"""How long threads that were left behind, and functions registered with atexit, may delay the end
of the process."""


def run_loop(main: Coroutine[Any, Any, int], *, fast: bool = True) -> int:
    """Run `main`, which returns an exit status, on a new event loop, and return that status.

    Closing the loop waits for its threads. One that looks a name up while no name server answers
    takes half a minute or longer; the process ends without it. `fast`: on uvloop.
    """
    with asyncio.Runner(loop_factory=_loop_factory() if fast else None) as runner:
        status = runner.run(main)
        flush_output()
        late = threading.Timer(EXIT_SECONDS, os._exit, (status,))
        late.daemon = True
        late.start()
    late.cancel()
    return status


def _set_task_factory(loop: asyncio.AbstractEventLoop, present_job: Callable[[], object]) -> None:
    """Set the task factory of a loop that user code shares.

    `asyncio.all_tasks` returns the tasks that handlers have made, and none of this program: a
    handler that cancels what it finds there would end the process, or attempts at other jobs. A
    factory that user code sets makes the tasks of handlers alone, for the same reason.
    """
    create, unregister = asyncio.Task, asyncio._unregister_task  # see "Extending" in asyncio's docs
    theirs: Callable[..., asyncio.Task[Any]] | None = None

    def factory(
        loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **options: Any
    ) -> asyncio.Task[Any]:
        # A handler's context is also that of what we start when it reports, logs or ends.
        if present_job() is not None and not _is_ours(coro):
            if theirs is not None:
                return theirs(loop, coro, **options)
            return create(coro, loop=loop, **options)
        task = create(coro, loop=loop, **options)
        unregister(task)
        return task

    def replace(factory: Any) -> None:
        nonlocal theirs
        if factory is not None and not callable(factory):
            raise TypeError("task factory must be a callable or None")
        theirs = factory

    ours: Callable[..., asyncio.Task[Any]] = factory
    loop.set_task_factory(ours)
    loop.set_task_factory = replace  # type: ignore[method-assign]
    loop.get_task_factory = lambda: theirs  # type: ignore[method-assign]


def _is_ours(coro: object) -> bool:
    frame = getattr(coro, "cr_frame", None)
    return frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _PACKAGES


def _unfinished(loop: asyncio.AbstractEventLoop) -> set[asyncio.Task[Any]]:
    """Return all tasks that have not ended, also those that all_tasks does not return."""
    gc.unfreeze()  # what is frozen is not listed
    tasks = {each for each in gc.get_objects() if issubclass(type(each), asyncio.Task)}
    return {task for task in tasks if not task.done() and task.get_loop() is loop}


async def _keep_executor(timeout: float | None = None) -> None:
    raise RuntimeError("the executor of this event loop is shared: other jobs use it")


def run_with_user_code(main: Coroutine[Any, Any, int], present_job: Callable[[], object]) -> int:
    """Run `main`, which returns an exit status, on an event loop that user code shares.

    The loop goes on if a task or a callback of user code raises SystemExit or KeyboardInterrupt, or
    stops it; who awaits such a task gets its exception. What user code leaves behind does not keep
    the process from ending: once `main` has ended, it has a few seconds. `present_job`
    returns None in a context that is not a handler's: asyncio.all_tasks has no tasks of those.
    """
    loop = asyncio.Runner(loop_factory=_loop_factory()).get_loop()
    _set_task_factory(loop, present_job)
    loop.shutdown_default_executor = _keep_executor  # type: ignore[method-assign]
    executor = _Executor(thread_name_prefix=_THREADS)
    loop.set_default_executor(executor)
    status = 1
    try:
        status = _complete(loop, loop.create_task(main))
    except UsageError:
        status = 2
        raise
    finally:
        left = _unfinished(loop)
        for task in left:
            task.cancel()
        if left:
            _complete(loop, loop.create_task(asyncio.wait(left, timeout=CANCEL_SECONDS)))
        flush_output()
        exit_after(EXIT_SECONDS, status)
        _end_idle_threads(executor)
        _log_left(loop)
    return status


class _Executor(ThreadPoolExecutor):
    """Threads for a loop that user code shares."""

    def submit(self, *arguments: Any, **options: Any) -> Future[Any]:
        """Run a function in a thread."""
        keep_exception_hook()
        return super().submit(*arguments, **options)


def keep_exception_hook() -> None:
    """Set `sys.excepthook` again if user code removed it: no thread could be started."""
    if getattr(sys, "excepthook", None) is None:
        sys.excepthook = sys.__excepthook__


def _end_idle_threads(executor: ThreadPoolExecutor) -> None:
    """End the threads of `asyncio.to_thread` that run nothing, so that they are not logged."""
    executor.shutdown(wait=False, cancel_futures=True)
    until = time.monotonic() + IDLE_SECONDS
    for thread in threading.enumerate():
        if thread.name.startswith(_THREADS):
            thread.join(max(0.0, until - time.monotonic()))


def _log_left(loop: asyncio.AbstractEventLoop) -> None:
    tasks = [task.get_name() for task in _unfinished(loop)]
    threads = [each.name for each in threading.enumerate() if not each.daemon]
    threads.remove(threading.main_thread().name)
    if tasks or threads:
        names = ", ".join((tasks + threads)[:5])
        log.warning("exiting, although handlers have left running: %s", names)


def _complete(loop: asyncio.AbstractEventLoop, task: asyncio.Task[T]) -> T:
    while True:
        try:
            return loop.run_until_complete(task)
        except (SystemExit, KeyboardInterrupt) as error:
            if task.done():
                return task.result()
            log.error("%s was raised in the event loop and ignored", _text_of(error))
        except RuntimeError:
            if task.done():
                raise
            log.error("the event loop was stopped by user code and continues")


def _text_of(error: BaseException) -> str:
    return f"{type(error).__name__}({', '.join(map(repr, error.args))})"


def flush_output() -> None:
    """Flush the standard streams, which user code may have closed or removed."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()


def exit_after(seconds: float, status: int, first: Callable[[], None] = lambda: None) -> None:
    """Call `first` and end this process with `status` after so many seconds, unless it ends before.

    It takes no lock, so that a signal handler may call it, whatever was interrupted.
    """

    def wait() -> None:
        time.sleep(seconds)
        first()
        os._exit(status)

    _thread.start_new_thread(wait, ())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # not available on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop
