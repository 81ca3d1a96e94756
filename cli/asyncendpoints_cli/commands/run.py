"""`asyncendpoints run`: reads what it is to serve, and serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncendpoints_cli.files import load_all
from asyncendpoints_cli.roles import read_settings
from asyncendpoints_cli.run.checks import check

if TYPE_CHECKING:
    from argparse import Namespace


def execute(options: Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C; a second Ctrl-C ends at once."""
    settings = read_settings(options)
    loaded = load_all(options.files)
    check(loaded, settings)
    # Servers and stores take a while to import; a fault in a file is told before that.
    from asyncendpoints_cli.run.serving import serve

    return serve(loaded, options.files, settings)
