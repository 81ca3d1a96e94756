"""The file by which a command on this machine finds a running console, and may use it.

It holds tokens, so its folder is of the user alone (0700), and it is too (0600).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import msgspec

from asyncendpoints_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER_VARIABLE: Final = "ASYNCENDPOINTS_RUNTIME_DIR"
_NAME: Final = re.compile(r"console-([0-9]{1,5})\.json")


class Running(msgspec.Struct, frozen=True, rename="camel"):
    """A running console: where it is, its tokens, and its process."""

    url: str
    view_token: str
    operate_token: str
    pid: int


def folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of the files; it may not exist."""
    if given := environ.get(FOLDER_VARIABLE):
        return Path(given)
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "asyncendpoints"
    return Path(environ.get("HOME") or Path.home()) / ".local/state/asyncendpoints"


class RuntimeFile:
    """The file of a running console. It is locked until it is removed or its process ends: the pid
    in it may be that of another process by then.
    """

    def __init__(self, where: Path, port: int, running: Running) -> None:
        """Write the file of the console on `port`. Raises OSError, or UsageError for a folder that
        others can use.
        """
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = where.stat()
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise UsageError(f"{where}: must be a folder of yours alone; run: chmod 700 {where}")
        self.path = where / f"console-{port}.json"
        draft = where / f".console-{port}.{os.getpid()}"
        draft.unlink(missing_ok=True)
        self._file = os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file.write(msgspec.json.encode(running))
            self._file.flush()
            draft.replace(self.path)
        except OSError:
            self._file.close()
            draft.unlink(missing_ok=True)
            raise

    def remove(self) -> None:
        """Remove the file, unless that of another process has replaced it."""
        with contextlib.suppress(OSError):
            found = self.path.stat()
            if os.path.samestat(found, os.fstat(self._file.fileno())):
                self.path.unlink()
        self._file.close()


def consoles(where: Path) -> list[Running]:
    """Return the consoles that run, by port. Files of ended processes, of other users, and those
    that others can read are ignored.
    """
    found: list[tuple[int, Running]] = []
    with contextlib.suppress(OSError):
        for file in where.iterdir():
            name = _NAME.fullmatch(file.name)
            running = _read(file) if name is not None else None
            if name is not None and running is not None:
                found.append((int(name[1]), running))
    return [running for _, running in sorted(found, key=lambda each: each[0])]


def _read(file: Path) -> Running | None:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as source:
            about = os.fstat(source.fileno())
            if about.st_uid != os.geteuid() or stat.S_IMODE(about.st_mode) & 0o077:
                return None
            if not _locked(source):
                return None
            return msgspec.json.decode(source.read(65_536), type=Running)
    except (OSError, msgspec.DecodeError):
        return None


def _locked(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
