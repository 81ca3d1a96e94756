"""Whether the API server is reached through the proxy of the environment.

aiohttp, which both API clients use, reads NO_PROXY with urllib, which only compares suffixes of
names. What other programs of a cluster understand is resolved here, as Go's package httpproxy does:
networks (10.0.0.0/8), `*.example.com`, ports, and IPv6 addresses in brackets.
"""

import ipaddress
import logging
import os
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

log = logging.getLogger("asyncendpoints.operator")

_PORTS: Final = {"http": 80, "https": 443}


def bypass_proxy(server: str) -> None:
    """Add the host of `server` (a URL) to no_proxy if an entry covers it; else log the proxy.

    Lower case takes precedence, in urllib and here.
    """
    url = urlsplit(server)
    proxy, host = getproxies().get(url.scheme, ""), url.hostname or ""
    if not proxy or proxy_bypass(host):
        return
    listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    port = url.port or _PORTS[url.scheme]
    if any(covers(entry.strip(), host, port) for entry in listed.split(",")):
        os.environ["no_proxy"] = f"{listed},{host}"
        return
    via = urlsplit(proxy)
    log.warning(
        "the API server %s is reached through the proxy %s:%s; "
        "for a direct connection add %s to NO_PROXY",
        *(server, via.hostname, via.port or _PORTS.get(via.scheme, 80), host),
    )


def covers(entry: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY covers a host (a name or an address) at a port."""
    name, _, number = entry.rpartition(":")
    if number.isdecimal() and (":" not in name or name.endswith("]")):
        if int(number) != port:
            return False
        entry = name
    entry = entry.strip("[]").lower()
    if entry == "*":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return bool(entry) and (f".{host}").endswith(f".{entry.removeprefix('*').lstrip('.')}")
    try:
        return address in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False
