"""Progress lines of the test cluster, each with the seconds since the first."""

import logging
import time
from collections.abc import Callable
from typing import TextIO

LOGGER = logging.getLogger("cluster")


class ProgressHandler(logging.Handler):
    """Hands each line to `write`, whole and without a newline."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._write = write
        self._started = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        self._write(f"[cluster {time.monotonic() - self._started:5.0f} s] {self.format(record)}")


def attach(write: Callable[[str], None]) -> ProgressHandler:
    """Send the progress lines to `write` from now on; undo with `LOGGER.removeHandler`."""
    handler = ProgressHandler(write)
    LOGGER.setLevel(logging.INFO)
    LOGGER.addHandler(handler)
    return handler


def to_stream(stream: TextIO) -> None:
    """Send the progress lines to a stream."""

    def write(line: str) -> None:
        stream.write(line + "\n")
        stream.flush()

    attach(write)
