"""The pool of worker processes, for Redis: each an `asyncendpoints worker` with its supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from asyncendpoints_cli.errors import MISUSED, AlreadyReported
from asyncendpoints_core.common.backoff import Backoff
from asyncendpoints_core.process.settings import PREFIX
from asyncendpoints_core.scaling.victims import Worker
from asyncendpoints_worker.metrics import Snapshot, add, total_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from asyncendpoints_core.process.settings import Settings
    from asyncendpoints_core.resource import AsyncEndpoint
    from asyncendpoints_core.store.replies import WorkerState

log = logging.getLogger("asyncendpoints.run")

STARTUP_MS: Final = 1_000
LONG_LIFE_SECONDS: Final = 60.0
KILL_SECONDS: Final = 15.0
"""Time beyond the drain in which a worker releases its jobs and reports that."""
_SNAPSHOT: Final = msgspec.msgpack.Decoder(Snapshot)


class _Process:
    """One worker process, which is restarted until it is stopped."""

    def __init__(self, pod: str, metrics_file: Path) -> None:
        self.pod = pod
        self.metrics_file = metrics_file
        self.process: asyncio.subprocess.Process | None = None
        self.stopping = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def backoff(self, seconds: float) -> None:
        """Wait before a restart, unless the process is to stop."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)

    def metrics(self) -> Snapshot:
        """Return the metrics that it wrote last, at most a second old."""
        try:
            return _SNAPSHOT.decode(self.metrics_file.read_bytes())
        except FileNotFoundError:  # it has not started yet
            return Snapshot({}, {}, {})

    def signal(self, number: int) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)


class ProcessPool:
    """Worker processes of one endpoint; `refused` is called if its handlers cannot be loaded."""

    def __init__(
        self,
        endpoint: AsyncEndpoint,
        settings: Settings,
        folder: Path,
        refused: Callable[[], None],
    ) -> None:
        """Start without processes. `folder` is where the handlers' module is imported from."""
        self.size = 0
        self.startup_ms = STARTUP_MS
        self._endpoint = endpoint
        self._settings = settings
        self._handlers_folder = folder
        self._refused = refused
        self._pod_prefix = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._count = 0
        self._served = False
        self._past = Snapshot({}, {}, {})
        self._processes: dict[str, _Process] = {}
        self._stopping: set[_Process] = set()
        # A copy of the resource: an edit of its file must not reach only some of the workers.
        self._temporary = tempfile.TemporaryDirectory(prefix="asyncendpoints-")
        self._folder = Path(self._temporary.name)
        self._file = self._folder / "endpoint.yaml"
        self._file.write_text(json.dumps(endpoint.document()), encoding="utf-8")
        # Workers stop at the end of file on this pipe, however this process ends.
        self._death_pipe, self._death_pipe_writer = os.pipe()

    def view(self, states: Sequence[WorkerState], now_ms: int) -> tuple[Worker, ...]:
        """See Pool."""
        found = []
        wanted = self._endpoint.spec.worker.processes
        for name, process in self._processes.items():
            own = [state for state in states if state.info.pod == process.pod]
            self._served = self._served or bool(own)
            found.append(
                Worker(
                    name,
                    held=sum(state.held for state in own),
                    ready=len(own) >= wanted,
                    cordoned=bool(own) and all(s.cordoned_until_ms > now_ms for s in own),
                )
            )
        return tuple(found)

    def concurrency(self, states: Sequence[WorkerState]) -> int:
        """See Pool."""
        pods = {process.pod for process in self._processes.values()}
        by_pod: dict[str, int] = {}
        for state in states:
            if state.info.pod in pods:
                by_pod[state.info.pod] = by_pod.get(state.info.pod, 0) + state.info.concurrency
        return max(by_pod.values(), default=0)

    def ids(self, names: Iterable[str], states: Sequence[WorkerState]) -> list[str]:
        """See Pool."""
        pods = {self._processes[name].pod for name in names if name in self._processes}
        return [state.info.id for state in states if state.info.pod in pods]

    async def resize(self, size: int, victims: Sequence[str]) -> None:
        """See Pool."""
        self.size = size
        while len(self._processes) < size:
            self._count += 1
            name = f"worker-{self._count}"
            process = _Process(f"{self._pod_prefix}-{self._count}", self._folder / name)
            self._processes[name] = process
            process.task = asyncio.create_task(self._run(process))
        order = [*victims, *(name for name in self._processes if name not in victims)]
        for name in order[: len(self._processes) - size]:
            self._stop_one(name)

    def _stop_one(self, name: str) -> None:
        process = self._processes.pop(name)
        self._stopping.add(process)
        process.stopping.set()
        process.signal(signal.SIGTERM)

    async def _run(self, process: _Process) -> None:
        """Run one process, and restart it until it is stopped."""
        backoff = Backoff(0.2, 30.0)
        loop = asyncio.get_running_loop()
        while not process.stopping.is_set():
            started = loop.time()
            options = "--metrics-file", str(process.metrics_file)
            process.process = await self._spawn(process.pod, *options)
            if process.stopping.is_set():
                process.signal(signal.SIGTERM)
            status = await process.process.wait()
            add(self._past, process.metrics())
            process.metrics_file.unlink(missing_ok=True)
            if process.stopping.is_set():
                break
            if status == MISUSED and not self._served:  # later it is retried: it did start before
                self._refused()
                return
            log.error("%s: a worker exited with status %d", self._endpoint.name, status)
            if loop.time() - started > LONG_LIFE_SECONDS:
                backoff.reset()
            await process.backoff(backoff.next())
        self._stopping.discard(process)

    async def check(self) -> None:
        """Load the handlers in a separate process, to keep user code out of this one.

        Raises AlreadyReported if that process has written an error to stderr.
        """
        if self._endpoint.spec.worker.handlers is None:
            return
        process: asyncio.subprocess.Process | None = None
        try:
            process = await self._spawn("check", "--check")
            if not await process.wait():
                return
        except asyncio.CancelledError:  # `run` ends during a reload
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()
            await self.stop(0.0)
            raise
        await self.stop(0.0)
        raise AlreadyReported

    async def _spawn(self, pod: str, *more: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "asyncendpoints_cli", "worker"),
            *("--endpoint", str(self._file), "--folder", str(self._handlers_folder)),
            *("--death-pipe", str(self._death_pipe), *more),
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=(self._death_pipe,),
            env=self._environment(pod),
            # A Ctrl-C must reach this process only, which then stops the workers.
            start_new_session=True,
        )

    def _environment(self, pod: str) -> dict[str, str]:
        """Return this process's settings as variables: `ps` shows arguments, and URLs in them."""
        settings = self._settings
        own = {
            "REDIS_URL": settings.redis_url,
            "REDIS_URL_FILE": settings.redis_url_file,
            "HTTP_TARGET": settings.http_target,
            "CALLBACK_HOST": settings.callback_host,
            "LOG_LEVEL": settings.log_level,
            "LOG_FORMAT": settings.log_format,
            "INSTALLATION_ID": settings.installation_id,
            "OTEL_PARENT": settings.otel_parent,
            "POD_UID": pod,
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        given = {PREFIX + name: str(value) for name, value in own.items() if value is not None}
        return kept | given

    async def stop(self, drain_seconds: float) -> int:
        """See Pool."""
        self.size = 0
        for name in list(self._processes):
            self._stop_one(name)
        tasks = [process.task for process in self._stopping if process.task is not None]
        late: set[asyncio.Task[None]] = set()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=drain_seconds + KILL_SECONDS)
            for process in self._stopping:
                process.signal(signal.SIGKILL)
            await asyncio.gather(*late, return_exceptions=True)
        os.close(self._death_pipe_writer)
        os.close(self._death_pipe)
        self._temporary.cleanup()
        return len(late)

    def metrics(self) -> Snapshot:
        """See Pool."""
        processes = (*self._processes.values(), *self._stopping)
        return total_of((self._past, *(process.metrics() for process in processes)))

    def kill(self) -> None:
        """See Pool: at a second SIGINT a supervisor stops its child processes and reports them."""
        loop = asyncio.get_running_loop()
        for process in self._stopping:
            # With pauses, because pending signals of the same kind are delivered only once.
            for pause in (0.0, 0.2, 0.4, 1.0):
                loop.call_later(pause, process.signal, signal.SIGINT)
