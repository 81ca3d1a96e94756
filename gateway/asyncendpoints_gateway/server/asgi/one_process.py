"""A lock against several workers of one server, each with a memory store of its own: a job that
one of them accepted is unknown to the others.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import sys
import tempfile
from pathlib import Path

from asyncendpoints_core.errors import UsageError

log = logging.getLogger("asyncendpoints.gateway")

REASON = (
    "another worker of this server has a MemoryStore for {name} already, and a job of one process "
    "is unknown to the other: use RedisStore, or one worker"
)


class OneProcess:
    """Held by one of the processes that have the same parent and the same command line.

    A worker that replaces another, as with `--reload`, gets it. Processes elsewhere, such as
    replicas in other containers, are not seen.
    """

    def __init__(self, name: str) -> None:
        """Contend for the endpoint `name`."""
        self._name = name
        parts = (name, os.getppid(), sys.argv, Path.cwd(), os.environ.get("PYTEST_XDIST_WORKER"))
        digest = hashlib.sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()[:24]
        self._path = Path(tempfile.gettempdir()) / f"asyncendpoints-{os.getuid()}-{digest}.lock"
        self._file: int | None = None

    def acquire(self) -> None:
        """Lock, or raise UsageError. Locks of POSIX belong to the process: it may have several."""
        try:
            while self._file is None:
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
                file = os.open(self._path, flags, 0o600)
                try:
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if self._path.stat().st_ino == os.fstat(file).st_ino:
                        self._file = file
                        return
                except FileNotFoundError:
                    pass  # its last owner removed it since it was opened
                finally:
                    if self._file is None:
                        os.close(file)
        except BlockingIOError:
            raise UsageError(REASON.format(name=self._name)) from None
        except OSError as error:
            log.debug("%s cannot be locked: %s", self._path, error)

    def release(self) -> None:
        """Unlock, and remove the file."""
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None
