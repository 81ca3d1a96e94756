"""What the head of every request must satisfy, beyond what the server's parser checks."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.common.listening import is_loopback
from asyncendpoints_gateway.http.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncendpoints_gateway.http.messages import Headers, Request

ANY: Final = "*"
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_HOST: Final = re.compile(
    r"(\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::([0-9]{0,5}))?"
)
_ABSOLUTE: Final = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)
_MAX_ACCEPTED: Final = 256


def check_head(request: Request, max_head: int, hosts: Hosts) -> None:
    """Raise Problem unless version, size, target, Host and Transfer-Encoding are acceptable."""
    version, headers = request.version, request.headers
    if version[0] != 1:
        if version[0] == 0:  # neither headers nor statuses
            raise _invalid("the request line names no HTTP version")
        detail = "only HTTP/1.1 and HTTP/1.0 are supported"
        raise Problem("version-not-supported", detail, close=True)
    if request.head_size() > max_head:
        raise Problem("headers-too-large", f"the headers exceed {max_head} bytes", close=True)
    codings = headers.getall("Transfer-Encoding", [])
    if codings:
        _check_codings(codings, version)
    hosts.check(_authority(request.method, request.target) or headers.get("Host", ""))


def _check_codings(codings: Iterable[str], version: tuple[int, int]) -> None:
    """Refuse what RFC 9112 §6.1 does not allow, and codings other than chunked."""
    if version < (1, 1):
        raise _invalid("HTTP/1.0 has no Transfer-Encoding")
    if ",".join(codings).strip().lower() != "chunked":
        detail = "the only supported transfer coding is chunked"
        raise Problem("not-implemented", detail, close=True)


def _authority(method: str, target: str) -> str:
    """Return the host in an absolute request target, which replaces Host (RFC 9112 §3.2.2)."""
    if "#" in target:
        raise Problem("invalid-query", "the request target has a fragment", close=True)
    if target.startswith("/") or target == "*" or method == "CONNECT":
        return ""
    match = _ABSOLUTE.match(target)
    if match is None:
        raise Problem("invalid-query", "the request target is not valid", close=True)
    return match[1]


def _invalid(detail: str) -> Problem:
    return Problem("invalid-header", detail, close=True)


class Hosts:
    """Checks the hosts that requests are for."""

    def __init__(self, names: frozenset[str] | None) -> None:
        """Accept these names in lower case and the loopback addresses; None: every host."""
        self._names = None if names is None or ANY in names else names
        self._accepted: set[str] = set()  # clients choose the values, so their number is bounded

    def accepts(self, host: str) -> bool:
        """Return whether a value of Host is valid and accepted."""
        if host not in self._accepted:
            try:
                self.check(host)
            except Problem:
                return False
        return True

    def check(self, host: str) -> None:
        """Raise Problem for a value of Host that is malformed or not accepted."""
        if host in self._accepted:
            return
        match = _HOST.fullmatch(host)
        if match is None or int(match[2] or 0) > 65_535:
            raise _invalid("Host is not valid")
        name = match[1].lower()
        if name.startswith("["):
            name = name[1:-1]
            if not _is_address(name):
                raise _invalid("Host is not valid")
        if self._names is not None and name and name not in self._names and not is_loopback(name):
            detail = "this host is not allowed; see --allowed-host"
            raise Problem("forbidden", detail, close=True)
        if len(self._accepted) < _MAX_ACCEPTED:
            self._accepted.add(host)


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def check_origin(method: str, headers: Headers, allowed: frozenset[str]) -> None:
    """Refuse unsafe requests from pages of other origins than `allowed` ("*": every origin).

    The same rules as net/http.CrossOriginProtection of Go: browsers send Sec-Fetch-Site, older ones
    Origin; a request with neither is not from a page.
    """
    if method in _SAFE_METHODS:
        return
    origin, site = headers.get("Origin", ""), headers.get("Sec-Fetch-Site", "")
    if site in {"same-origin", "none"} or (not site and not origin):
        return
    if ANY in allowed or origin in allowed:
        return
    if not site and origin.partition("://")[2].lower() == headers.get("Host", "").lower():
        return
    raise Problem("forbidden", "requests from pages of this origin are not allowed")
