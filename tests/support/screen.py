"""A program on a terminal of its own: what it writes there, and what a person types."""

import os
import pty
import re
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from support.cli import SECONDS
from support.worker.reaper import reaper

ESCAPE = re.compile(r"\x1b\[[0-9]*m")


class Screen:
    """A program whose three standard streams are one pseudo-terminal."""

    def __init__(self, *words: str | Path, env: Mapping[str, str], size: tuple[int, int]) -> None:
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, size)
        dropped = ("ASYNCENDPOINTS_", "NO_COLOR")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
        self.process = subprocess.Popen(
            [*map(str, words)],
            env={**clean, **env},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        reaper.watch(self.process.pid)
        self._terminal = ours
        self._changed = threading.Condition()
        self._raw = b""
        self._open = True
        self._thread = threading.Thread(target=self._read, args=(ours,))
        self._thread.start()

    def _read(self, terminal: int) -> None:
        while True:
            try:
                data = os.read(terminal, 65536)
            except OSError:  # the last process that had it open has ended
                data = b""
            with self._changed:
                self._raw += data
                self._open = bool(data)
                self._changed.notify_all()
            if not data:
                os.close(terminal)
                return

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._terminal, text.encode())

    @property
    def raw(self) -> str:
        """What was written, with its escape sequences."""
        with self._changed:
            return self._raw.decode(errors="replace").replace("\r\n", "\n")

    @property
    def text(self) -> str:
        """What was written, without colours."""
        return ESCAPE.sub("", self.raw)

    def shows(self, pattern: str) -> re.Match[str]:
        """Wait until a line matches."""
        with self._changed:
            self._changed.wait_for(
                lambda: re.search(pattern, self.text, re.MULTILINE) or not self._open, SECONDS
            )
        found = re.search(pattern, self.text, re.MULTILINE)
        assert found, f"not shown: {pattern}\n{self.text}"
        return found

    def stop(self) -> int:
        """Press Ctrl-C; return the exit status."""
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(SECONDS)
        self._thread.join(SECONDS)
        return status


@contextmanager
def program(
    *words: str | Path, env: Mapping[str, str] | None = None, lines: int = 50, columns: int = 120
) -> Iterator[Screen]:
    """Run a program on a terminal of that size until the end of the block."""
    shown = Screen(*words, env=env or {}, size=(lines, columns))
    try:
        yield shown
    finally:
        if shown.process.poll() is None:
            shown.process.kill()
        shown.process.wait()
        reaper.forget(shown.process.pid)


def screen(
    *arguments: str | Path, env: Mapping[str, str] | None = None, columns: int = 120
) -> AbstractContextManager[Screen]:
    """Run the command line on a terminal until the end of the block."""
    return program(sys.executable, "-m", "asyncendpoints_cli", *arguments, env=env, columns=columns)
