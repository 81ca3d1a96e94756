"""The file by which commands find a running console."""

import fcntl
import os
import stat
from pathlib import Path

import msgspec
import pytest

from asyncendpoints_console import runtime_file
from asyncendpoints_console.runtime_file import Running, RuntimeFile
from asyncendpoints_core.errors import UsageError

OWN = Running("http://127.0.0.1:9091", "v", "o", os.getpid())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_folder_is_chosen_by_the_environment() -> None:
    assert runtime_file.folder({"ASYNCENDPOINTS_RUNTIME_DIR": "/a", "XDG_RUNTIME_DIR": "/b"}) == (
        Path("/a")
    )
    assert runtime_file.folder({"XDG_RUNTIME_DIR": "/b", "HOME": "/c"}) == Path("/b/asyncendpoints")
    assert runtime_file.folder({"HOME": "/c"}) == Path("/c/.local/state/asyncendpoints")


def test_it_is_written_for_the_user_alone_and_found(tmp_path: Path) -> None:
    folder = tmp_path / "run/asyncendpoints"
    second = Running("http://127.0.0.1:900", "v", "o", os.getpid())
    file = RuntimeFile(folder, 9091, OWN)
    other = RuntimeFile(folder, 900, second)
    assert (mode(folder), mode(file.path)) == (0o700, 0o600)
    assert runtime_file.consoles(folder) == [second, OWN]
    file.remove()
    assert runtime_file.consoles(folder) == [second]
    assert [path.name for path in folder.iterdir()] == ["console-900.json"]
    other.remove()


def test_a_folder_that_others_can_use_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(UsageError, match="chmod 700"):
        RuntimeFile(tmp_path, 9091, OWN)
    assert list(tmp_path.iterdir()) == []


def stale(folder: Path, port: int, pid: int) -> Path:
    """Make a file as a process leaves it that was killed."""
    file = folder / f"console-{port}.json"
    file.touch(mode=0o600)
    file.write_bytes(msgspec.json.encode(Running(f"http://127.0.0.1:{port}", "v", "o", pid)))
    return file


def test_files_that_do_not_hold_are_ignored(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert runtime_file.consoles(tmp_path / "missing") == []
    stale(tmp_path, 1, os.getppid())  # the pid of a process that lives, but is another one
    own = RuntimeFile(tmp_path, 5, OWN)
    readable = RuntimeFile(tmp_path, 2, OWN)
    readable.path.chmod(0o644)
    broken = stale(tmp_path, 3, os.getpid())
    broken.write_text("{")
    (tmp_path / "console-4.json").symlink_to(own.path)
    (tmp_path / "other.json").write_text("{}")
    with broken.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert runtime_file.consoles(tmp_path) == [OWN]
    for file in (own, readable):
        file.remove()


def test_the_file_of_another_process_is_not_removed(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    first = RuntimeFile(tmp_path, 1, OWN)
    second = RuntimeFile(tmp_path, 1, OWN)
    first.remove()
    assert runtime_file.consoles(tmp_path) == [OWN]
    second.remove()
    assert list(tmp_path.iterdir()) == []
