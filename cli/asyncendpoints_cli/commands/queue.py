"""`asyncendpoints queue …`: show the state of a running endpoint, pause and resume it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncendpoints_cli.remote import acting, showing
from asyncendpoints_cli.remote.client import connect_by, endpoint_of
from asyncendpoints_core.errors import UsageError

if TYPE_CHECKING:
    from argparse import Namespace


def execute(options: Namespace) -> int:
    """Carry out `options.action`."""
    if options.action is None:
        raise UsageError("which one? asyncendpoints queue show|workers|failures|pause|resume")
    with connect_by(options) as client:
        match options.action:
            case "workers":
                showing.show_workers(endpoint_of(client, options.endpoint), options)
            case "failures":
                showing.show_failures(endpoint_of(client, options.endpoint), options)
            case "pause" | "resume":
                acting.set_paused(endpoint_of(client, options.endpoint), options)
            case _:
                showing.show_queue(client, options)
    return 0
