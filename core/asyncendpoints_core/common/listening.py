"""Addresses that servers listen on: their sockets, errors that explain themselves, and URLs."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
from typing import Final

from asyncendpoints_core.errors import CannotListen

_MISSING: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
"""Of an address that this machine does not have, such as one of IPv6 where that is off."""


async def open_sockets(host: str, port: int, backlog: int = 128) -> list[socket.socket]:
    """Return a socket that listens for each address of `host`; empty: of all interfaces.

    Servers are made of them, because uvloop's create_server ignores that listen(2) failed: of two
    processes that open a port at the same time, one would be a server that never gets a
    connection. Raises OSError.
    """
    found = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    for family, _, _, _, address in dict.fromkeys(found):
        try:
            sockets.append(socket.create_server(address, family=family, backlog=backlog))
        except OSError as error:
            if error.errno not in _MISSING:
                for each in sockets:
                    each.close()
                raise
            missing = error
    if missing is not None and not sockets:
        raise missing
    return sockets


def cannot_listen(host: str, port: int, error: OSError, option: str) -> CannotListen:
    """Return the error for a port, set by `option`, that cannot be opened: why, and what to do."""
    where = f"{url_host(host)}:{port}"
    if isinstance(error, socket.gaierror):
        return CannotListen(f"{host} is not an address of this machine")
    reason = os.strerror(error.errno).lower() if error.errno else "the port cannot be opened"
    if error.errno == errno.EADDRINUSE:
        reason = f"the port is taken; choose another one, or 0 for any free one: {option}"
    return CannotListen(f"cannot listen on {where}: {reason}")


def url_host(host: str) -> str:
    """Return where clients on this machine reach an address: all interfaces are the loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
    return in_url(host)


def in_url(host: str) -> str:
    """Return an address as written in a URL."""
    return f"[{host}]" if ":" in host else host


def is_address(host: str) -> bool:
    """Return whether it is an IP address, not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def names_loopback(authority: str) -> bool:
    """Return whether a Host header, with or without a port, names this machine's loopback."""
    name, _, port = authority.rpartition(":")
    if not name or not port.isdecimal():
        name = authority
    return is_loopback(name.strip("[]").lower())


def is_loopback(host: str) -> bool:
    """Return whether an address is reachable from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
