"""`asyncendpoints run`: reads what it is to serve, and refuses what cannot be served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncendpoints_cli.files import load_all
from asyncendpoints_cli.roles import read_settings
from asyncendpoints_core.errors import UsageError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from asyncendpoints_core.manifest import Loaded
    from asyncendpoints_core.settings import Settings

LAST_PORT: Final = 65_535


def execute(options: Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C; a second Ctrl-C ends at once."""
    settings = read_settings(options)
    loaded = load_all(options.files)
    _check(loaded, settings)
    # Servers and stores take a while to import; a fault in a file is told before that.
    from asyncendpoints_cli.run.serving import serve

    return serve(loaded, options.files, settings)


def _check(loaded: Sequence[Loaded], settings: Settings) -> None:
    """Refuse, before anything starts, what cannot be served together."""
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
