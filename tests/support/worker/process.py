"""A worker as a process of its own: the supervisor with its children, on a real Redis.

Run as a script it is that process: `python worker_process.py JSON`, see WorkerProcess.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from asyncendpoints_core.process.settings import Settings
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_worker.supervisor.supervisor import run_supervisor
from support.paths import TESTS
from support.worker.reaper import reaper

END_SECONDS = 60.0


class WorkerProcess:
    """Starts the supervisor of `endpoint`; its handlers' module is looked for in `folder`.

    `settings`, `idle_seconds` and `termination_log` go to `run_supervisor`. `stderr` is where its
    log goes.
    """

    def __init__(
        self,
        endpoint: AsyncEndpoint,
        redis_url: str,
        folder: Path,
        *,
        idle_seconds: float = 10.0,
        termination_log: Path = Path("/nonexistent"),
        stderr: int | IO[bytes] | None = None,
        **settings: Any,
    ) -> None:
        described = {
            "endpoint": endpoint.document(),
            "settings": {"redis_url": redis_url, **settings},
            "folder": str(folder),
            "idle_seconds": idle_seconds,
            "termination_log": str(termination_log),
        }
        self._process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(described)],
            stdin=subprocess.DEVNULL,
            stderr=stderr,
            env={**os.environ, "PYTHONPATH": str(TESTS)},
        )
        reaper.watch(self._process.pid)

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        return self._process.pid

    def children(self) -> list[int]:
        """Return the process ids of its children that run at this moment."""
        return children_of(self.pid)

    def send(self, number: signal.Signals) -> None:
        """Send the supervisor a signal."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait until it has ended; return its exit status."""
        status = self._process.wait(END_SECONDS)
        reaper.forget(self.pid)
        return status

    def errors(self) -> str:
        """Return what it wrote to `stderr`, which must be subprocess.PIPE, until its end."""
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            return stream.read().decode()

    def stop(self) -> int:
        """Make it drain, and wait for its end."""
        if self._process.poll() is None:
            self.send(signal.SIGTERM)
        return self.wait()

    def close(self) -> None:
        """Kill it and its children, unless it has ended."""
        if self._process.poll() is None:
            for pid in [*self.children(), self.pid]:
                kill(pid)
            self.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def children_of(parent: int) -> list[int]:
    """Return the process ids of the children of `parent`, zombies left out."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True
    )
    rows = (line.split() for line in listed.stdout.splitlines())
    return [int(pid) for pid, ppid, stat in rows if int(ppid) == parent and stat[0] != "Z"]


def kill(pid: int) -> None:
    """SIGKILL a process that may have ended by now."""
    send(pid, signal.SIGKILL)


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may have ended by now."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def main(arguments: Sequence[str]) -> int:
    """Run the supervisor that the JSON describes."""
    described = json.loads(arguments[0])
    logging.basicConfig(level="INFO", stream=sys.stderr)
    return run_supervisor(
        AsyncEndpoint.parse(described["endpoint"]),
        Settings(**described["settings"]),
        folders=[Path(described["folder"])],
        idle_seconds=described["idle_seconds"],
        termination_log=Path(described["termination_log"]),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
