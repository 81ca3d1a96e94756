"""Run other programs: captured output, errors that show it, and progress for the long ones."""

import logging
import os
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

log = logging.getLogger("cluster")

HEARTBEAT_SECONDS = 15.0


class ClusterError(Exception):
    """An operation on the test cluster failed; the message names the problem and the fix."""


class CommandError(ClusterError):
    """A program exited with a status other than 0; contains its output."""

    def __init__(self, command: Sequence[str], status: int, output: str) -> None:
        self.command = list(command)
        self.status = status
        self.output = output
        super().__init__(f"`{' '.join(command)}` ended with {status}:\n{output.strip()[-4000:]}")


def run(
    command: Sequence[str | Path],
    *,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 300,
) -> str:
    """Run a program to completion and return its stdout.

    `env` is laid over the current environment; `timeout` is in seconds. Raises CommandError on a
    status other than 0 and ClusterError when the time is over.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            input=stdin,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            text=True,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        raise ClusterError(f"{words[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"`{' '.join(words)}` still ran after {timeout:.0f} s") from error
    if done.returncode != 0:
        raise CommandError(words, done.returncode, done.stdout + done.stderr)
    return done.stdout


def run_long(
    what: str,
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    status: Callable[[int, str], str] = lambda _count, line: line,
) -> None:
    """Run a long program, logging every 15 s that it is alive and how far it is.

    `status(count, line)` turns the number of lines printed and the last of them into the words
    of that log line. Raises CommandError with the end of the output when it fails.
    """
    words = [str(word) for word in command]
    started = time.monotonic()
    log.info("%s ...", what)
    with subprocess.Popen(
        words,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        tail = _Tail()
        beat = threading.Thread(target=_heartbeat, args=(what, started, tail, status), daemon=True)
        beat.start()
        assert process.stdout is not None
        for line in process.stdout:
            tail.add(line.rstrip())
        tail.ended.set()
        beat.join()
    if process.returncode != 0:
        raise CommandError(words, process.returncode, "\n".join(tail.lines))
    log.info("%s: done in %.0f s", what, time.monotonic() - started)


class _Tail:
    """The last lines a program printed, shared by its reader and the heartbeat."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=60)
        self.count = 0
        self.ended = threading.Event()

    def add(self, line: str) -> None:
        if line:
            self.lines.append(line)
            self.count += 1


def _heartbeat(what: str, started: float, tail: _Tail, status: Callable[[int, str], str]) -> None:
    while not tail.ended.wait(HEARTBEAT_SECONDS):
        last = tail.lines[-1] if tail.lines else ""
        log.info("%s: %.0f s, %s", what, time.monotonic() - started, status(tail.count, last)[:100])


def wait_until(what: str, ready: Callable[[], bool], *, seconds: float, every: float = 0.1) -> None:
    """Poll `ready` until it is true; ClusterError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise ClusterError(f"{what}: not within {seconds:.0f} s")
        time.sleep(every)
