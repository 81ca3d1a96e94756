"""Watches files for `--reload` by polling twice a second, which works on every file system."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

INTERVAL_SECONDS: Final = 0.5
MAX_FILES: Final = 5_000
SKIPPED: Final = frozenset({"__pycache__", "node_modules", "venv", "build", "dist"})

Scan = dict[Path, tuple[int, int]]
"""Modification time in ns and size of each file."""


class Watcher:
    """Detects changes of `files`, and of Python files below `folders`."""

    def __init__(self, files: Iterable[Path], folders: Iterable[Path]) -> None:
        """Do the first scan."""
        self._files = [file.resolve() for file in files]
        self._folders = sorted({folder.resolve() for folder in folders})
        self._seen = self._scan()

    def follow(self, folders: Iterable[Path]) -> None:
        """Watch below these folders from now on; earlier scans of the same files stay valid."""
        self._folders = sorted({folder.resolve() for folder in folders})
        now = self._scan()
        self._seen = {path: self._seen.get(path, mark) for path, mark in now.items()}

    async def changed(self) -> list[Path]:
        """Return the changed files, once nothing has changed for one interval."""
        changes: set[Path] = set()
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            now = await asyncio.to_thread(self._scan)
            new = {path for path, _ in now.items() ^ self._seen.items()}
            self._seen = now
            if changes and not new:
                return sorted(changes)
            changes |= new

    def _scan(self) -> Scan:
        found: Scan = {}
        for path in self._paths():
            try:
                status = path.stat()
            except OSError:
                continue
            found[path] = status.st_mtime_ns, status.st_size
            if len(found) >= MAX_FILES:
                break
        return found

    def _paths(self) -> Iterator[Path]:
        yield from self._files
        for folder in self._folders:
            for home, folders, names in os.walk(folder):
                folders[:] = sorted(
                    name for name in folders if name not in SKIPPED and not name.startswith(".")
                )
                if "pyvenv.cfg" in names:
                    folders.clear()
                    continue
                yield from (Path(home, name) for name in names if name.endswith(".py"))
