"""`asyncendpoints console`: opens the console of a running endpoint in a browser."""

from __future__ import annotations

import signal
import sys
import webbrowser
from typing import TYPE_CHECKING

from asyncendpoints_cli.remote.client import connect_by

if TYPE_CHECKING:
    from argparse import Namespace


def execute(options: Namespace) -> int:
    """Print a link that logs in once, and open it."""
    with connect_by(options) as client:
        link = client.url + client.change("POST", "/login-links")["path"]
        sys.stdout.write(f"{link}\n")
        sys.stdout.flush()
        if not options.no_browser and not webbrowser.open(link):
            sys.stderr.write("no browser could be opened: open the link yourself\n")
        if client.location != client.url:  # the connection is this process's
            ends = {signal.SIGINT, signal.SIGTERM}
            signal.pthread_sigmask(signal.SIG_BLOCK, ends)
            sys.stderr.write(f"connected to {client.location}; Ctrl-C ends the connection\n")
            signal.sigwait(ends)
    return 0
