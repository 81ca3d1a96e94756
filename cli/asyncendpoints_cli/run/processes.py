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

from asyncendpoints_cli.errors import AlreadyReported
from asyncendpoints_core.common.backoff import Backoff
from asyncendpoints_core.process.settings import PREFIX
from asyncendpoints_core.scaling.decide import Worker
from asyncendpoints_worker.metrics import Snapshot, add

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from asyncendpoints_core.process.settings import Settings
    from asyncendpoints_core.resource import AsyncEndpoint
    from asyncendpoints_core.store.replies import WorkerState

log = logging.getLogger("asyncendpoints.run")

STARTUP_MS: Final = 1_000
LONG_LIFE_SECONDS: Final = 60.0
KILL_SECONDS: Final = 15.0
"""What a worker may take beyond its time to drain: to hand jobs back and to say so."""
MISUSED: Final = 2
_SNAPSHOT: Final = msgspec.msgpack.Decoder(Snapshot)


class _Process:
    """One worker process, started anew when it ends though it is wanted."""

    def __init__(self, pod: str, figures: Path) -> None:
        self.pod = pod
        self._figures = figures
        self.process: asyncio.subprocess.Process | None = None
        self.ending = False
        self.keeping: asyncio.Task[None] | None = None
        self.waking = asyncio.Event()

    async def rest(self, seconds: float) -> None:
        """Wait before it is started anew, unless it is no longer wanted."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.waking.wait(), seconds)

    def is_wanted(self) -> bool:
        return not self.ending

    @property
    def options(self) -> tuple[str, ...]:
        return "--figures", str(self._figures)

    def figures(self) -> Snapshot:
        """Return what it last told, at most a second old."""
        try:
            return _SNAPSHOT.decode(self._figures.read_bytes())
        except FileNotFoundError:  # it has not begun
            return Snapshot({}, {}, {})

    def forget_figures(self) -> None:
        self._figures.unlink(missing_ok=True)

    def signal(self, number: int) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)


class ProcessPool:
    """Worker processes of one endpoint. `refused` is told when its handlers cannot be loaded."""

    def __init__(
        self,
        endpoint: AsyncEndpoint,
        settings: Settings,
        folder: Path,
        refused: Callable[[], None],
    ) -> None:
        """Begin without a process. `folder` is where the handlers' module is looked for."""
        self.size = 0
        self.startup_ms = STARTUP_MS
        self._endpoint = endpoint
        self._settings = settings
        self._handlers_folder = folder
        self._refused = refused
        self._names = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._count = 0
        self._served = False
        self._past = Snapshot({}, {}, {})
        self._processes: dict[str, _Process] = {}
        self._leaving: set[_Process] = set()
        # The resource as it is now: a file that is edited later must not reach some workers only.
        self._home = tempfile.TemporaryDirectory(prefix="asyncendpoints-")
        self._folder = Path(self._home.name)
        self._file = self._folder / "endpoint.yaml"
        self._file.write_text(json.dumps(endpoint.document()), encoding="utf-8")
        # They end when the other end of this pipe closes, however this process ends.
        self._end, self._lifeline = os.pipe()

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
            process = _Process(f"{self._names}-{self._count}", self._folder / name)
            self._processes[name] = process
            process.keeping = asyncio.create_task(self._keep(process))
        order = [*victims, *(name for name in self._processes if name not in victims)]
        for name in order[: len(self._processes) - size]:
            self._end_one(name)

    def _end_one(self, name: str) -> None:
        process = self._processes.pop(name)
        process.ending = True
        self._leaving.add(process)
        if process.process is not None and process.process.returncode is not None:
            process.waking.set()
        process.signal(signal.SIGTERM)

    async def _keep(self, process: _Process) -> None:
        """Keep one process running for as long as it is wanted."""
        backoff = Backoff(0.2, 30.0)
        loop = asyncio.get_running_loop()
        while process.is_wanted():
            born = loop.time()
            process.process = await self._spawn(process.pod, *process.options)
            if not process.is_wanted():
                process.signal(signal.SIGTERM)
            status = await process.process.wait()
            add(self._past, process.figures())
            process.forget_figures()
            if not process.is_wanted():
                break
            if status == MISUSED and not self._served:  # later that may pass, as a start-up does
                self._refused()
                return
            log.error("%s: a worker ended by itself (status %d)", self._endpoint.name, status)
            if loop.time() - born > LONG_LIFE_SECONDS:
                backoff.reset()
            await process.rest(backoff.next())
        self._leaving.discard(process)

    async def check(self) -> None:
        """Load the handlers once in a process of their own, not to have user code in this one.

        Raises AlreadyReported when that process has said on stderr what is wrong with them.
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
            *("--end-with", str(self._end), *more),
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=(self._end,),
            env=self._environment(pod),
            # A Ctrl-C is for this process: it tells the workers what it means for them.
            start_new_session=True,
        )

    def _environment(self, pod: str) -> dict[str, str]:
        """Give a worker this process's settings; the URL of Redis is no argument `ps` shows."""
        settings = self._settings
        own = {
            "REDIS_URL": settings.redis_url,
            "REDIS_URL_FILE": settings.redis_url_file,
            "HTTP_TARGET": settings.http_target,
            "LOG_LEVEL": settings.log_level,
            "LOG_FORMAT": settings.log_format,
            "INSTALLATION_ID": settings.installation_id,
            "POD_UID": pod,
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        given = {PREFIX + name: str(value) for name, value in own.items() if value is not None}
        return kept | given

    async def stop(self, drain_seconds: float) -> int:
        """See Pool."""
        self.size = 0
        for name in list(self._processes):
            self._end_one(name)
        keeping = [p.keeping for p in self._leaving if p.keeping is not None]
        left = len(keeping)
        if keeping:
            _, late = await asyncio.wait(keeping, timeout=drain_seconds + KILL_SECONDS)
            left = len(late)
            for process in self._leaving:
                process.signal(signal.SIGKILL)
            await asyncio.gather(*late, return_exceptions=True)
        os.close(self._lifeline)
        os.close(self._end)
        self._home.cleanup()
        return left

    def figures(self) -> Snapshot:
        """See Pool."""
        total = Snapshot({}, {}, {})
        there = (*self._processes.values(), *self._leaving)
        for part in (self._past, *(process.figures() for process in there)):
            add(total, part)
        return total

    def kill(self) -> None:
        """See Pool: a supervisor ends its children at a second Ctrl-C, and reports them."""
        loop = asyncio.get_running_loop()
        for process in self._leaving:
            # Apart, because two signals that wait together are one.
            for pause in (0.0, 0.2, 0.4, 1.0):
                loop.call_later(pause, process.signal, signal.SIGINT)
