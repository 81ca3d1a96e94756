"""`asyncendpoints jobs …`: show and manage the jobs of a running endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncendpoints_cli.remote import acting, logs, showing
from asyncendpoints_cli.remote.client import connect_by, endpoint_of
from asyncendpoints_core.errors import UsageError

if TYPE_CHECKING:
    from argparse import Namespace


def execute(options: Namespace) -> int:
    """Carry out `options.action`."""
    if options.action is None:
        verbs = "list|get|watch|logs|result|cancel|retry|purge"
        raise UsageError(f"which one? asyncendpoints jobs {verbs}")
    with connect_by(options) as client:
        endpoint = endpoint_of(client, options.endpoint)
        match options.action:
            case "list":
                showing.list_jobs(endpoint, options)
            case "get":
                showing.get(endpoint, options)
            case "watch":
                showing.watch(endpoint, options)
            case "logs":
                logs.show(endpoint, options)
            case "result":
                showing.result(endpoint, options)
            case _:
                return acting.act(endpoint, options)
    return 0
