"""`asyncendpoints jobs …`: see jobs of a running endpoint, and act on them."""

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
        raise UsageError("which one? asyncendpoints jobs list|get|watch|result|cancel|retry|purge")
    with connect_by(options) as client:
        endpoint = endpoint_of(client, options.endpoint)
        match options.action:
            case "list":
                showing.list_jobs(endpoint, options)
            case "get":
                showing.get(endpoint, options)
            case "watch":
                showing.watch(endpoint, options)
            case "result":
                showing.result(endpoint, options)
            case _:
                return acting.act(endpoint, options)
    return 0
