"""Checks at the start and on a reload that `asyncendpoints run` can serve its endpoints."""

from __future__ import annotations

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
