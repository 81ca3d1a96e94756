"""A real memory cgroup with a limit, as a container has one."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

ROOT = Path("/sys/fs/cgroup")


def _own() -> tuple[Path, str]:
    """Return the memory cgroup of this process, and the name of its limit (v1 or v2)."""
    path = ""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return ROOT / "memory" / path.lstrip("/"), "memory.limit_in_bytes"
    return ROOT / path.lstrip("/"), "memory.max"


@contextmanager
def memory_limit(name: str, limit: int) -> Iterator[Path]:
    """Make a cgroup in which `limit` bytes may be used; skip the test where that is not allowed."""
    folder = None
    try:
        own, limiting = _own()
        folder = own / name
        folder.mkdir()
        (folder / limiting).write_text(str(limit))
    except OSError as error:
        if folder is not None and folder.exists():
            folder.rmdir()
        pytest.skip(f"no memory cgroup can be made: {error}")
    try:
        yield folder
    finally:
        left = (folder / "cgroup.procs").read_text().split()
        with suppress(ProcessLookupError):
            join(own, *map(int, left))  # after a failed test the worker still runs
        folder.rmdir()


def join(folder: Path, *pids: int) -> None:
    """Put processes into it; what they start later is in it too."""
    for pid in pids:
        (folder / "cgroup.procs").write_text(str(pid))
