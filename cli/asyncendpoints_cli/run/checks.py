"""What `asyncendpoints run` cannot serve together, at its start and at a reload."""

from __future__ import annotations

from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints_core.manifest import Loaded
    from asyncendpoints_core.process.settings import Settings

LAST_PORT: Final = 65_535


def check(loaded: Sequence[Loaded], settings: Settings) -> None:
    """Refuse, before anything starts, what cannot be served together. Raises UsageError."""
    source = settings.redis_source()
    if source is not None:
        source()
    if settings.http_target is not None:
        for item in loaded:
            if item.endpoint.spec.worker.http is None:
                raise UsageError(
                    f"--http-target: {item.endpoint.name} runs worker.handlers, not worker.http"
                )
    if settings.http_port and settings.http_port + len(loaded) - 1 > LAST_PORT:
        raise UsageError(f"--port: {len(loaded)} endpoints need ports up to {LAST_PORT}")
    _refuse_namesakes(loaded)


def _refuse_namesakes(loaded: Sequence[Loaded]) -> None:
    """Refuse modules of one name in the folders of two files: one process could import only one
    of them. Nothing is imported here, and workers of their own are held to the same.
    """
    seen: dict[str, str] = {}
    for item in loaded:
        top = (item.endpoint.spec.worker.handlers or "").partition(".")[0]
        spec = PathFinder.find_spec(top, [str(item.file.resolve().parent)]) if top else None
        if spec is None:  # none at all, or one that is installed: the import tells
            continue
        [place] = spec.submodule_search_locations or [spec.origin or top]
        here = str(Path(place).resolve())
        there = seen.setdefault(top, here)
        if there != here:
            raise UsageError(
                f'two modules are called "{top}": {there} and {here}; rename one of them'
            )
