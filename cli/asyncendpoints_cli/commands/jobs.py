"""`asyncendpoints jobs …`: show and manage the jobs of a running endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncendpoints_cli.remote import acting, logs, showing
from asyncendpoints_cli.remote.client import connect_by, endpoint_of
from asyncendpoints_core.errors import UsageError

if TYPE_CHECKING:
    from argparse import Namespace

SHOWING: Final = {
    "list": showing.list_jobs,
    "get": showing.get,
    "watch": showing.watch,
    "logs": logs.show,
    "result": showing.result,
}


def execute(options: Namespace) -> int:
    """Carry out `options.action`."""
    if options.action is None:
        verbs = "list|get|watch|logs|result|cancel|retry|purge"
        raise UsageError(f"which one? asyncendpoints jobs {verbs}")
    with connect_by(options) as client:
        endpoint = endpoint_of(client, options.endpoint)
        if (show := SHOWING.get(options.action)) is None:
            return acting.act(endpoint, options)
        show(endpoint, options)
    return 0
