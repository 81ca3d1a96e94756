"""Checks at the start and on a reload that `asyncendpoints run` can serve its endpoints."""

from __future__ import annotations

from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Final

from asyncendpoints_cli.roles import check_redis
from asyncendpoints_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints_core.manifest import Loaded
    from asyncendpoints_core.process.settings import Settings

LAST_PORT: Final = 65_535


def check(loaded: Sequence[Loaded], settings: Settings) -> None:
    """Check, before anything starts, that the endpoints can be served. Raises UsageError."""
    source = settings.redis_source()
    if source is not None:
        check_redis(source)
    if settings.http_target is not None:
        for item in loaded:
            if item.endpoint.spec.worker.http is None:
                raise UsageError(
                    f"--http-target: {item.endpoint.name} runs worker.handlers, not worker.http"
                )
    if settings.http_port and settings.http_port + len(loaded) - 1 > LAST_PORT:
        raise UsageError(f"--port: {len(loaded)} endpoints need ports up to {LAST_PORT}")
    if source is None:
        _check_module_names(loaded)


def _check_module_names(loaded: Sequence[Loaded]) -> None:
    """Check that no two files have a module of the same name: one process imports only one of them.

    With Redis each endpoint has processes of its own. This does not import anything.
    """
    seen: dict[str, str] = {}
    for item in loaded:
        top = (item.endpoint.spec.worker.handlers or "").partition(".")[0]
        spec = PathFinder.find_spec(top, [str(item.file.resolve().parent)]) if top else None
        if spec is None:  # not in that folder: the import reports it if it does not exist at all
            continue
        [origin] = spec.submodule_search_locations or [spec.origin or top]
        path = str(Path(origin).resolve())
        first = seen.setdefault(top, path)
        if first != path:
            raise UsageError(
                f'two modules are named "{top}": {first} and {path}; rename one, or use --redis, '
                "which runs each endpoint in processes of its own"
            )
