"""The file by which commands find a running console."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from asyncendpoints_console import runtime_file
from asyncendpoints_console.runtime_file import Running
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
    file = runtime_file.write(folder, 9091, OWN)
    runtime_file.write(folder, 900, second)
    assert (mode(folder), mode(file)) == (0o700, 0o600)
    assert runtime_file.consoles(folder) == [second, OWN]
    runtime_file.remove(file)
    assert runtime_file.consoles(folder) == [second]
    assert [path.name for path in folder.iterdir()] == ["console-900.json"]


def test_a_folder_that_others_can_use_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(UsageError, match="chmod 700"):
        runtime_file.write(tmp_path, 9091, OWN)
    assert list(tmp_path.iterdir()) == []


def test_files_that_do_not_hold_are_ignored(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert runtime_file.consoles(tmp_path / "missing") == []
    ended = subprocess.Popen(["true"])
    ended.wait()
    runtime_file.write(tmp_path, 1, Running("http://127.0.0.1:1", "v", "o", ended.pid))
    runtime_file.write(tmp_path, 2, OWN).chmod(0o644)
    (tmp_path / "console-3.json").write_text("{")
    (tmp_path / "console-4.json").symlink_to(runtime_file.write(tmp_path, 5, OWN))
    (tmp_path / "other.json").write_text("{}")
    (tmp_path / "console-3.json").chmod(0o600)
    assert runtime_file.consoles(tmp_path) == [OWN]


def test_the_file_of_another_process_is_not_removed(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    file = runtime_file.write(tmp_path, 1, Running("http://127.0.0.1:1", "v", "o", os.getppid()))
    runtime_file.remove(file)
    assert file.exists()
