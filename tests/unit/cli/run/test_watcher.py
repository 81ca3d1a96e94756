"""Watching files for --reload."""

import asyncio
import os
from pathlib import Path

import pytest

from asyncendpoints_cli.run import watcher
from asyncendpoints_cli.run.watcher import Watcher


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "INTERVAL_SECONDS", 0.01)


async def changes(watched: Watcher) -> set[str]:
    async with asyncio.timeout(10):
        return {path.name for path in await watched.changed()}


async def test_changed_new_and_removed_files_are_seen(tmp_path: Path) -> None:
    resource, module, other = (tmp_path / name for name in ("e.yaml", "jobs.py", "old.py"))
    for path in (resource, module, other):
        path.write_text("x = 1\n")
    watched = Watcher([resource], [tmp_path])
    module.write_text("x = 2  # longer\n")
    other.unlink()
    (tmp_path / "new.py").write_text("")
    assert await changes(watched) == {"jobs.py", "old.py", "new.py"}
    resource.write_text("kind: changed\n")
    assert await changes(watched) == {"e.yaml"}


async def test_a_change_of_equal_size_is_seen_by_its_time(tmp_path: Path) -> None:
    module = tmp_path / "jobs.py"
    module.write_text("x = 1\n")
    watched = Watcher([], [tmp_path])
    module.write_text("x = 2\n")
    os.utime(module, ns=(1, 1))
    assert await changes(watched) == {"jobs.py"}


async def test_environments_caches_and_other_files_are_not_watched(tmp_path: Path) -> None:
    for folder in (".venv", "__pycache__", "node_modules", "env"):
        (tmp_path / folder).mkdir()
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    watched = Watcher([], [tmp_path])
    for folder in (".venv", "__pycache__", "node_modules", "env"):
        (tmp_path / folder / "a.py").write_text("")
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "jobs.py").write_text("")
    assert await changes(watched) == {"jobs.py"}
