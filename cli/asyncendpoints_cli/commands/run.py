"""`asyncendpoints run`: serves endpoints on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncendpoints_cli.roles import read_settings
from asyncendpoints_cli.run.sources import Sources, check

if TYPE_CHECKING:
    from argparse import Namespace


def execute(options: Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C; a second Ctrl-C exits immediately."""
    settings = read_settings(options, user_code=True)
    sources = Sources(options.files)
    loaded = sources.load()
    check(loaded, settings)
    # Imported after the checks: servers and stores are slow to import.
    from asyncendpoints_cli.run.runner import serve

    return serve(loaded, sources, settings)
