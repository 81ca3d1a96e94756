"""Addresses that servers listen on: errors that explain themselves, and URLs."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket

from asyncendpoints_core.errors import CannotListen


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
