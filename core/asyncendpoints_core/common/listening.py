"""What the servers of all roles say about the address they listen on."""

from __future__ import annotations

import errno
import os
import socket

from asyncendpoints_core.errors import CannotListen


def cannot_listen(host: str, port: int, error: OSError) -> CannotListen:
    """Return the error for a port that cannot be opened: why, and what to do about it."""
    where = f"{url_host(host)}:{port}"
    if isinstance(error, socket.gaierror):
        return CannotListen(f"{host} is no address of this machine")
    reason = os.strerror(error.errno).lower() if error.errno else "it cannot be opened"
    if error.errno == errno.EADDRINUSE:
        reason = "the port is taken; choose another one, or 0 for any free one"
    return CannotListen(f"cannot listen on {where}: {reason}")


def url_host(host: str) -> str:
    """Return an address as a URL has it; the one for all interfaces as that of this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
    return f"[{host}]" if ":" in host else host
