"""The table of addresses that webhooks may be sent to."""

import pytest

from asyncendpoints_gateway.webhooks.addresses import AddressRules, networks

OPEN = AddressRules(private=networks("0.0.0.0/0", "::/0"))


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::1", "172.32.0.1"],
)
def test_public_addresses_are_fine(address: str) -> None:
    assert AddressRules().refusal(address) == ""


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("169.254.169.254", "link-local"),
        ("169.254.0.1", "link-local"),
        ("fe80::1", "link-local"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("168.63.129.16", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("192.0.0.192", "metadata"),
        ("fd20:ce::254", "metadata"),
        ("::ffff:168.63.129.16", "metadata"),
        ("::168.63.129.16", "metadata"),
        ("64:ff9b::168.63.129.16", "metadata"),
        ("64:ff9b:1::168.63.129.16", "metadata"),
        ("2002:a83f:8110::1", "metadata"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:169.254.169.254", "link-local"),
        ("::127.0.0.1", "loopback"),
        ("::ffff:0:127.0.0.1", "loopback"),
        ("64:ff9b::169.254.169.254", "link-local"),
        ("64:ff9b:1::127.0.0.1", "loopback"),
        ("2002:7f00:1::", "loopback"),
        ("2002:a9fe:a9fe::1", "link-local"),
        ("2001:0:808:808::8056:5656", "link-local"),  # Teredo: a client of 127.169.169.169
    ],
)
def test_these_are_refused_whatever_is_allowed(address: str, kind: str) -> None:
    assert AddressRules().refusal(address)
    if not address.startswith("2001:0"):
        assert kind in OPEN.refusal(address)


@pytest.mark.parametrize(
    "address",
    [
        *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "192.0.0.8"),
        *("192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "240.0.0.1", "192.88.99.1"),
        *("fc00::1", "fd12::1", "fec0::1", "100::1", "2001:db8::1", "3fff::1", "5f00::1"),
        *("64:ff9b:1::8.8.8.8", "2001:10::1", "4000::1"),
        *("::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:a00:1::", "::10.0.0.1"),
    ],
)
def test_these_are_refused_unless_allowed(address: str) -> None:
    assert "not a public address" in AddressRules().refusal(address)
    assert OPEN.refusal(address) == ""


# The special-purpose blocks of IANA (RFC 6890), and all of IPv6 outside 2000::/3. Beside each is
# public space, but where another one begins.
BLOCKS = [
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
    *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
    *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
    *("::/3", "2001::/23", "2001:db8::/32", "3fff::/20", "4000::/2"),
]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_is_refused_from_its_first_to_its_last_address(block: str) -> None:
    [network] = networks(block)
    first, last = network[0], network[-1]
    assert AddressRules().refusal(str(first))
    assert AddressRules().refusal(str(last))
    if int(first) > 0:
        assert AddressRules().refusal(str(first - 1)) == ""
    if int(last) + 1 < 2**network.max_prefixlen and block != "4000::/2":
        assert AddressRules().refusal(str(last + 1)) == ""


def test_a_zone_is_refused() -> None:
    assert "zone" in OPEN.refusal("fe80::1%eth0")


def test_one_block_allows_no_other() -> None:
    rules = AddressRules(private=networks("10.1.0.0/16"))
    assert rules.refusal("10.1.2.3") == ""
    assert rules.refusal("::ffff:10.1.2.3") == ""
    assert rules.refusal("10.2.0.1")
    # The NAT64 prefix is public by itself; its IPv4 address decides.
    assert rules.refusal("64:ff9b::10.1.2.3") == ""
    assert rules.refusal("64:ff9b::10.2.0.1")


def test_denied_blocks_come_in_addition() -> None:
    rules = AddressRules(private=networks("10.0.0.0/8"), denied=networks("10.9.0.0/16", "8.8.8.8"))
    assert rules.refusal("10.1.0.1") == ""
    for address in ("10.9.0.1", "8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"):
        assert "denyCidrs" in rules.refusal(address)


def test_plain_http_needs_an_address_that_is_allowed_privately() -> None:
    rules = AddressRules(private=networks("10.0.0.0/8", "fd00::/8"))
    assert rules.allows_plain("10.0.0.1")
    assert rules.allows_plain("fd00::1")
    assert rules.allows_plain("::ffff:10.0.0.1")
    assert not rules.allows_plain("8.8.8.8")
