"""Which addresses webhooks may be sent to: a table of our own, the same on every Python.

`ipaddress.is_global` differs between versions and knows neither NAT64 nor metadata services. The
blocks are those of the IANA special-purpose registries (RFC 6890).
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def networks(*blocks: str) -> tuple[Network, ...]:
    """Parse CIDR blocks. Raises ValueError."""
    return tuple(ip_network(block) for block in blocks)


FORBIDDEN: Final = {
    "unspecified": networks("0.0.0.0/8", "::/128"),
    "loopback": networks("127.0.0.0/8", "::1/128"),
    "link-local": networks("169.254.0.0/16", "fe80::/10"),
    "multicast": networks("224.0.0.0/4", "ff00::/8"),
    "broadcast": networks("255.255.255.255/32"),
    "a metadata service": networks(
        "168.63.129.16/32",  # Azure
        "100.100.100.200/32",  # Alibaba
        "192.0.0.192/32",  # Oracle
        "fd00:ec2::254/128",  # AWS
        "fd20:ce::254/128",  # Google
    ),
}
"""Refused whatever is allowed, by what they are."""
PRIVATE: Final = networks(
    "10.0.0.0/8",
    "100.64.0.0/10",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
    "2001::/23",
    "2001:db8::/32",
    "3fff::/20",
)
"""Not global, in addition to all of IPv6 outside GLOBAL_6."""
_GLOBAL_6: Final = networks("2000::/3", "64:ff9b::/96")
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
# Their last 32 bits are an IPv4 address: compatible, translated, NAT64 (RFC 6052, RFC 8215).
_EMBEDS_LAST: Final = tuple(
    IPv6Network(block) for block in ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")
)
_TEREDO: Final = IPv6Network("2001::/32")
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")


def embedded(address: Address) -> IPv4Address | None:
    """Return the IPv4 address to which a gateway would translate an IPv6 address, if there is one.

    `::` and `::1` stand for themselves.
    """
    if isinstance(address, IPv4Address) or int(address) <= 1:
        return None
    if address in _SIX_TO_FOUR:
        return IPv4Address(int(address) >> 80 & 0xFFFFFFFF)
    if address in _TEREDO:
        return IPv4Address(~int(address) & 0xFFFFFFFF)
    if address in _MAPPED or any(address in block for block in _EMBEDS_LAST):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


@dataclass(frozen=True, slots=True)
class AddressRules:
    """What an installation allows beside global addresses: `private` blocks; `denied` is refused
    in addition. `ports` are allowed besides 443 and 80. `local` are hosts with their port that may
    have any address, such as a receiver on a developer's machine.
    """

    private: tuple[Network, ...] = ()
    denied: tuple[Network, ...] = ()
    ports: frozenset[int] = frozenset()
    local: frozenset[tuple[str, int]] = frozenset()

    def refusal(self, text: str) -> str:
        """Return why an address is refused, empty if it is not."""
        if "%" in text:
            return f"{text} has a zone"
        address = ip_address(text)
        inner = embedded(address)
        if inner is not None:
            reason = self._refusal(inner)
            if reason or address in _MAPPED:
                return reason and f"{text} stands for {reason}"
        return self._refusal(address)

    def _refusal(self, address: Address) -> str:
        for kind, blocks in FORBIDDEN.items():
            if _inside(address, blocks):
                return f"{address}, which is {kind}"
        if _inside(address, self.denied):
            return f"{address}, which is denied by webhooks.denyCidrs"
        if not is_global(address) and not _inside(address, self.private):
            return f"{address}, which is not a public address"
        return ""

    def allows_plain(self, text: str) -> bool:
        """Return whether http: is fine for an address: it is one that is allowed privately."""
        address = ip_address(text)
        inner = embedded(address)
        return _inside(address, self.private) or (
            inner is not None and _inside(inner, self.private)
        )


def is_global(address: Address) -> bool:
    """Return whether an address is reachable from everywhere."""
    if _inside(address, PRIVATE):
        return False
    return isinstance(address, IPv4Address) or _inside(address, _GLOBAL_6)


def _inside(address: Address, blocks: tuple[Network, ...]) -> bool:
    return any(address in block for block in blocks)
