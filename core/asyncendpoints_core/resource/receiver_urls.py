"""URLs of receivers: parsed strictly, so that what is checked is what is connected to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

MAX_URL: Final = 2_000
DEFAULT_PORTS: Final = {"https": 443, "http": 80}
_TOO_LONG: Final = f"must be at most {MAX_URL} characters"

_URL: Final = re.compile(r"(https?)://([^/?#\\]*)([/?][^#\\]*)?", re.IGNORECASE)
_AUTHORITY: Final = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?")
_NAME: Final = re.compile(
    r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
_NUMERIC: Final = re.compile(r"(0x[0-9a-f]*|[0-9]+)")


@dataclass(frozen=True, slots=True)
class ReceiverUrl:
    """A URL in parts; `host` is in lower case, an IPv6 address without brackets."""

    scheme: str
    host: str
    port: int
    target: str
    is_address: bool

    @property
    def origin(self) -> str:
        """Scheme, host and port; the port only if it is not the scheme's."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"

    @property
    def url(self) -> str:
        """The whole URL."""
        return self.origin + self.target


def parse_url(text: str) -> ReceiverUrl:
    """Parse a receiver's URL; raises ValueError with the reason, which does not quote the URL."""
    if len(text) > MAX_URL:
        raise ValueError(_TOO_LONG)
    if not text.isascii() or any(not "!" <= char <= "~" for char in text):
        raise ValueError("must be printable ASCII without spaces; use punycode for other names")
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError("must be a URL such as https://example.com/hooks, without # and \\")
    scheme, authority, target = match[1].lower(), match[2], match[3] or "/"
    if "@" in authority:
        raise ValueError("must not contain a user or password")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise ValueError("has no valid host and port")
    host, is_address = _host(parts[1].lower())
    port = int(parts[2]) if parts[2] else DEFAULT_PORTS[scheme]
    if not 1 <= port <= 65_535:
        raise ValueError("has a port outside 1 to 65535")
    target = target if target.startswith("/") else "/" + target
    parsed = ReceiverUrl(scheme, host, port, target, is_address)
    if len(parsed.url) > MAX_URL:  # as it is stored, and parsed again to be sent to
        raise ValueError(_TOO_LONG)
    return parsed


def _host(text: str) -> tuple[str, bool]:
    """Return a host, and whether it is an address."""
    if text.startswith("["):
        if "%" in text:
            raise ValueError("must not contain the zone of an address")
        try:
            return str(IPv6Address(text[1:-1])), True
        except AddressValueError:
            raise ValueError("has no valid IPv6 address") from None
    # As WHATWG's URL standard: a host that ends in a number is an IPv4 address, in any notation.
    if _NUMERIC.fullmatch(text.removesuffix(".").rpartition(".")[2]):
        try:
            return str(IPv4Address(text)), True
        except AddressValueError:
            raise ValueError("has an IPv4 address in another form than 192.0.2.1") from None
    if not _NAME.fullmatch(text):
        raise ValueError("has no valid host name")
    return text, False


@dataclass(frozen=True, slots=True)
class Pattern:
    """An origin that clients' receivers may have; `host` may begin with `*.`."""

    scheme: str
    host: str
    port: int

    def matches(self, url: ReceiverUrl) -> bool:
        """Return whether a URL has this origin; an address never has."""
        if url.is_address or (url.scheme, url.port) != (self.scheme, self.port):
            return False
        if self.host.startswith("*."):
            return url.host.endswith(self.host[1:]) and url.host != self.host[2:]
        return url.host == self.host


def parse_pattern(text: str) -> Pattern:
    """Parse an origin such as https://*.example.com; raises ValueError with the reason."""
    wild = "://*." in text
    url = parse_url(text.replace("://*.", "://", 1))
    if url.is_address:
        raise ValueError("must name a host, not an address")
    if url.target != "/" or text.endswith("/"):
        raise ValueError("must be an origin without a path, such as https://*.example.com")
    return Pattern(url.scheme, ("*." if wild else "") + url.host, url.port)
