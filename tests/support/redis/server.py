"""A real redis-server of the test's own: on a free port, in a folder of its own.

Its methods block (a start takes some 30 ms). In a test whose event loop must go on meanwhile, call
them by `await asyncio.to_thread(server.restart)`.
"""

import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote

from support.lifetime import Lifetime
from support.ports import free_port
from support.redis.binaries import server_binary
from support.worker.reaper import reaper

START_SECONDS = 120.0  # a large AOF is loaded first


class RedisProcess:
    """One process of redis-server, with its log; knows when it is ready from what it logs."""

    def __init__(
        self,
        arguments: list[str],
        directory: Path,
        ready: str,
        server: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._ready_pattern = re.compile(ready)
        self._lines: list[str] = []
        self._is_ready = self._is_over = False
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            [server_binary(server), *arguments],
            cwd=directory,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # SIGXFSZ stays ignored, as Python has it: beyond `limit_files` a write fails.
            restore_signals=False,
            start_new_session=True,  # a Ctrl-C in the terminal is for pytest
        )
        reaper.watch(self._process.pid)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self._lines.append(line)
                self._is_ready = self._is_ready or bool(self._ready_pattern.search(line))
                self._changed.notify_all()
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def log(self) -> str:
        """Everything written so far."""
        with self._changed:
            return "".join(self._lines)

    def wait_ready(self) -> bool:
        """Wait until the server is ready; return False if it ended instead."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._is_ready or self._is_over, START_SECONDS):
                raise TimeoutError(f"redis-server is not ready:\n{''.join(self._lines)}")
            return self._is_ready

    def wait_over(self, seconds: float) -> bool:
        """Return whether it ends within `seconds`."""
        with self._changed:
            return self._changed.wait_for(lambda: self._is_over, seconds)

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def end(self, number: signal.Signals) -> None:
        """Send a signal that ends the process, and wait until it has ended."""
        if self._process.poll() is None:
            self._process.send_signal(number)
            if number != signal.SIGKILL:
                self._process.send_signal(signal.SIGCONT)
        self._process.wait(START_SECONDS)
        reaper.forget(self._process.pid)
        self._reader.join(START_SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()


class RedisServer(Lifetime):
    """A redis-server that can be stopped, killed, paused and started again on the same data.

    Persistence is off unless asked for. `config` takes any directive of redis.conf, with `_` for
    `-`: `RedisServer(appendonly=True, appendfsync="always")`. `server` names one of binaries.py;
    `environment` has more variables of its process.
    """

    def __init__(
        self,
        *,
        appendonly: bool = False,
        save: str = "",
        maxmemory: str | None = None,
        requirepass: str | None = None,
        unix_socket: bool = False,
        ready: str = "Ready to accept connections",
        server: str | None = None,
        environment: Mapping[str, str] | None = None,
        **config: str | int,
    ) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self.password = requirepass
        self.directory = Path(tempfile.mkdtemp(prefix="redis-"))
        self.socket_path = self.directory / "redis.sock" if unix_socket else None
        self._ready = ready
        self._server = server
        self._environment = environment
        self._process: RedisProcess | None = None
        self._last_log = ""
        self._config: dict[str, str | int] = {
            "bind": self.host,
            "save": save,
            "appendonly": "yes" if appendonly else "no",
            **{name.replace("_", "-"): value for name, value in config.items()},
        }
        optional = {"maxmemory": maxmemory, "requirepass": requirepass, "unixsocket": None}
        if self.socket_path is not None:
            optional["unixsocket"] = str(self.socket_path)
        self._config |= {name: value for name, value in optional.items() if value is not None}

    @property
    def url(self) -> str:
        """The URL of database 0 over TCP, with the password if there is one."""
        secret = f":{quote(self.password, safe='')}@" if self.password else ""
        return f"redis://{secret}{self.host}:{self.port}/0"

    @property
    def unix_url(self) -> str:
        """The URL of database 0 over the unix socket, which `unix_socket=True` asks for."""
        assert self.socket_path is not None
        secret = f":{quote(self.password, safe='')}@" if self.password else ""
        return f"unix://{secret}{self.socket_path}?db=0"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._running().pid

    @property
    def log(self) -> str:
        """The log of the present process."""
        return self._running().log

    @property
    def is_running(self) -> bool:
        """Whether the server was started and not stopped or killed since."""
        return self._process is not None

    def _running(self) -> RedisProcess:
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process

    def _arguments(self) -> list[str]:
        arguments = ["--port", str(self.port), "--dir", str(self.directory)]
        for name, value in self._config.items():
            arguments += [f"--{name}", str(value)]
        return arguments

    def start(self) -> Self:
        """Start the server, on the port it had before if it ran before; return when it is ready."""
        if self.port:
            if not self._try_start():
                raise RuntimeError(f"redis-server did not start:\n{self._last_log}")
            return self
        # Another run on this machine may take the free port between the choice and the start.
        for _ in range(5):
            self.port = free_port()
            if self._try_start():
                return self
            if "in use" not in self._last_log:
                break
        self.port = 0
        raise RuntimeError(f"redis-server did not start:\n{self._last_log}")

    def _try_start(self) -> bool:
        process = RedisProcess(
            self._arguments(), self.directory, self._ready, self._server, self._environment
        )
        if process.wait_ready():
            self._process = process
            return True
        process.end(signal.SIGKILL)
        self._last_log = process.log
        return False

    def delay_loading(self, microseconds: int) -> None:
        """Have the next start take so much longer for each command of the AOF."""
        self._config["key-load-delay"] = microseconds

    def stop(self) -> None:
        """End the server in order (SIGTERM: it saves what its configuration says)."""
        if self._process is not None:
            self._process.end(signal.SIGTERM)
            self._process = None

    def kill(self) -> None:
        """End the server with SIGKILL."""
        if self._process is not None:
            self._process.end(signal.SIGKILL)
            self._process = None

    def pause(self) -> None:
        """Freeze the server (SIGSTOP): connections stay open, nothing is answered."""
        self._running().send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on (SIGCONT)."""
        self._running().send(signal.SIGCONT)

    def limit_files(self, spare: int | None) -> None:
        """Let no file grow beyond `spare` bytes more than the largest has: its writes end short,
        as on a full disk. None removes the limit, which a restart does too.
        """
        largest = max(f.stat().st_size for f in self.directory.rglob("*") if f.is_file())
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        soft = resource.RLIM_INFINITY if spare is None else largest + spare
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (soft, hard))

    def wait_ended(self, seconds: float) -> bool:
        """Return whether the server ends by itself within `seconds`."""
        if not self._running().wait_over(seconds):
            return False
        self.kill()
        return True

    def restart(self, *, kill: bool = False) -> None:
        """Stop (or kill) the server and start it on the same port and data."""
        if kill:
            self.kill()
        else:
            self.stop()
        self.start()

    def close(self) -> None:
        """Kill the server and remove its data."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
