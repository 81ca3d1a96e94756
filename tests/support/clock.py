"""The wall clock of processes, stepped while they run: libfaketime, of the Debian package faketime.

Their monotonic clock is the machine's, as when an administrator, or NTP, sets the time.
"""

import re
import tempfile
from pathlib import Path

_NAME = "libfaketimeMT.so.1"
_PLACES = ("/usr/lib/*/faketime", "/usr/lib*/faketime", "/usr/local/lib/faketime")


def library() -> str:
    """Return the path of libfaketime. Raises FileNotFoundError."""
    for place in _PLACES:
        for found in Path("/").glob(f"{place[1:]}/{_NAME}"):
            return str(found)
    raise FileNotFoundError(f"{_NAME} is missing; run  tools/ensure_programs.sh faketime")


class Clock:
    """The wall clock of every process that is started with `environment`."""

    def __init__(self, folder: Path) -> None:
        with tempfile.NamedTemporaryFile(dir=folder, prefix="clock-", delete=False) as file:
            self._file = Path(file.name)
        self.set(0)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a process that has this clock."""
        return {
            "LD_PRELOAD": library(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def set(self, seconds: float) -> None:
        """Have the clock differ from the machine's by `seconds`, within a second from now."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+.3f}")
        new.replace(self._file)


def remove_leftovers() -> None:
    """Remove what libfaketime leaves in /dev/shm of processes that were killed."""
    for file in Path("/dev/shm").glob("*faketime_s*_*"):
        pid = re.search(r"_(\d+)$", file.name)
        if pid and not Path("/proc", pid[1]).exists():
            file.unlink(missing_ok=True)
