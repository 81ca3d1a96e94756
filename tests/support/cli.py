"""The real `asyncendpoints` command in a separate process, whose output is read line by line."""

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from support.worker.reaper import reaper

SECONDS = 60.0
RUNTIME_DIR = f"{tempfile.gettempdir()}/asyncendpoints-tests-{os.getuid()}"

IGNORING_SIGINT = ("sh", "-c", "trap '' INT; exec \"$@\"", "sh")
"""A command before another, which then starts as in the background of a script."""

ENDPOINT = """\
apiVersion: asyncendpoints.io/v1alpha1
kind: AsyncEndpoint
metadata: {{name: {name}}}
spec:
  routes:
    - {{path: "/work", job: work}}
  worker: {{handlers: {module}, concurrency: {concurrency}{worker}}}
{more}"""


def write_endpoint(
    folder: Path,
    code: str,
    *,
    name: str = "reports",
    module: str = "jobs",
    more: str = "",
    concurrency: int = 2,
    worker: str = "",
) -> Path:
    """Write an endpoint with one route, /work, and the module of its handlers beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{module}.py").write_text(code)
    file = folder / "endpoint.yaml"
    text = ENDPOINT.format(
        name=name, module=module, more=more, concurrency=concurrency, worker=worker
    )
    file.write_text(text)
    return file


def eventually(holds: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Wait for something without a notification: poll until it is true."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.1)


@dataclass
class Answer:
    """An HTTP response."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def ask(url: str, method: str = "GET", body: bytes | str | None = None, **headers: str) -> Answer:
    """Send one request; `headers` have underscores in place of dashes."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=SECONDS)
    try:
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path or "/", body, named)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def final(url: str) -> dict[str, Any]:
    """Return a job once it is final, by long polls."""
    tag = ""
    while True:
        answer = ask(f"{url}?wait=20", If_None_Match=tag)
        assert answer.status in (200, 304), answer
        if answer.status == 200:
            job: dict[str, Any] = answer.json
            if job["completedAt"] is not None:
                return job
            tag = answer.headers["ETag"]


class Command:
    """One `asyncendpoints …`; its standard output and error are kept line by line. `before` is a
    command that becomes it.
    """

    def __init__(
        self,
        *arguments: str | Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        module: str = "asyncendpoints_cli",
        before: Sequence[str] = (),
    ) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("ASYNCENDPOINTS_")}
        self._changed = threading.Condition()
        self._out: list[str] = []
        self._err: list[str] = []
        self._open = 2
        self.process = subprocess.Popen(
            [*before, sys.executable, "-m", module, *map(str, arguments)],
            env={**clean, "ASYNCENDPOINTS_RUNTIME_DIR": RUNTIME_DIR, **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        reaper.watch(self.process.pid)
        for stream, lines in ((self.process.stdout, self._out), (self.process.stderr, self._err)):
            threading.Thread(target=self._read, args=(stream, lines), daemon=True).start()

    def _read(self, stream: Any, lines: list[str]) -> None:
        with stream:
            for line in stream:
                with self._changed:
                    lines.append(line)
                    self._changed.notify_all()
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    @property
    def out(self) -> str:
        """Everything on standard output so far."""
        with self._changed:
            return "".join(self._out)

    @property
    def err(self) -> str:
        """Everything on standard error so far."""
        with self._changed:
            return "".join(self._err)

    def said(self, text: str, *, times: int = 1) -> None:
        """Wait until standard error contains `text` this many times."""
        with self._changed:
            found = self._changed.wait_for(
                lambda: "".join(self._err).count(text) >= times or not self._open, SECONDS
            )
            complete = "".join(self._err)
        assert found, f"not said: {text}\n{complete}"
        assert complete.count(text) >= times, f"ended without saying {text}:\n{complete}"

    def ready(self, count: int = 1) -> list[str]:
        """Wait for `count` lines `NAME ready at URL`; return the URLs."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._out) >= count or not self._open, SECONDS)
            lines = list(self._out)
        assert len(lines) == count, f"{lines}\n{self.err}"
        assert all(" ready at http://" in line for line in lines)
        return [line.split()[-1] for line in lines]

    def ready_in_log(self) -> str:
        """Wait until a gateway logs that it is ready; return its URL."""
        self.said(" is ready at http://")
        [line] = [line for line in self.err.splitlines() if " is ready at " in line]
        url: str = json.loads(line)["message"].split()[-1]
        return url

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for the process to exit; return the exit status."""
        status = self.process.wait(SECONDS)
        reaper.forget(self.process.pid)  # the number may soon be another process's
        with self._changed:
            self._changed.wait_for(lambda: not self._open, SECONDS)
        return status

    def kill(self) -> None:
        """Kill it with SIGKILL, without waiting for its children and remaining output."""
        self.process.kill()
        self.process.wait(SECONDS)
        reaper.forget(self.process.pid)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it with a signal; return the exit status."""
        self.send(number)
        return self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        reaper.forget(self.process.pid)


def once(*arguments: str | Path, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Run a command to completion; return its exit status, standard output and standard error."""
    with Command(*arguments, env=env) as command:
        status = command.wait()
        return status, command.out, command.err
