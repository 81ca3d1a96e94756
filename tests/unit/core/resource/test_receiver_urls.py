"""Receivers' URLs, and the origins that clients may name."""

import pytest

from asyncendpoints_core.resource.receiver_urls import parse_pattern, parse_url


@pytest.mark.parametrize(
    ("text", "origin", "target"),
    [
        ("https://example.com", "https://example.com", "/"),
        ("HTTPS://Example.COM:443/a?b=c", "https://example.com", "/a?b=c"),
        ("https://example.com?x=1", "https://example.com", "/?x=1"),
        ("http://example.com:8080/", "http://example.com:8080", "/"),
        ("https://192.0.2.1/a%2Fb", "https://192.0.2.1", "/a%2Fb"),
        ("https://[2001:DB8::1]:8443/", "https://[2001:db8::1]:8443", "/"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example", "/"),
    ],
)
def test_a_url_is_read_in_parts(text: str, origin: str, target: str) -> None:
    url = parse_url(text)
    assert (url.origin, url.target, url.url) == (origin, target, origin + target)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ftp://example.com/", "must be a URL"),
        ("//example.com/", "must be a URL"),
        ("https://example.com/#x", "must be a URL"),
        ("https://example.com\\@evil.example/", "must be a URL"),
        ("https://user:password@example.com/", "user or password"),
        ("https://example.com:0/", "port"),
        ("https://example.com:99999/", "port"),
        ("https://example.com:80:90/", "host and port"),
        ("https://:443/", "host name"),
        ("https:///path", "host name"),
        ("https://-a.example/", "host name"),
        ("https://a..b/", "host name"),
        ("https://example.com./", "host name"),
        ("https://[fe80::1%25eth0]/", "zone"),
        ("https://[::g]/", "IPv6"),
        ("https://0x7f.1/", "IPv4"),
        ("https://127.1/", "IPv4"),
        ("https://2130706433/", "IPv4"),
        ("https://0177.0.0.1/", "IPv4"),
        ("https://1.2.3.4./", "IPv4"),
        ("https://a.0x7f/", "IPv4"),
        ("https://bücher.example/", "punycode"),
        ("https://example.com/a b", "spaces"),
        ("https://example.com/\r\nHost: x", "spaces"),
        ("https://example.com/" + "a" * 1_981, "2000 characters"),
        ("https://example.com?" + "a" * 1_980, "2000 characters"),  # 2,001 with its "/"
    ],
)
def test_others_are_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as raised:
        parse_url(text)
    assert "password@" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com/" + "a" * 1_980,
        "https://example.com?" + "a" * 1_979,
        "HTTPS://Example.COM:443/",
        "https://[2001:DB8:0:0:0:0:0:1]/",
        "https://[::ffff:192.0.2.1]/",
    ],
)
def test_what_is_stored_of_a_url_can_be_read_again(text: str) -> None:
    url = parse_url(text)
    assert parse_url(url.url) == url


def test_a_wildcard_is_one_or_more_whole_labels() -> None:
    pattern = parse_pattern("https://*.example.com")
    for text in ("https://a.example.com/x", "https://a.b.example.com:443/"):
        assert pattern.matches(parse_url(text))
    for text in (
        *("https://example.com/", "https://aexample.com/", "http://a.example.com/"),
        *("https://a.example.com:8443/", "https://a.example.com.evil.example/"),
    ):
        assert not pattern.matches(parse_url(text))


def test_an_address_never_matches() -> None:
    assert parse_pattern("https://example.com").matches(parse_url("https://EXAMPLE.com/"))
    assert not parse_pattern("https://*.1.1.1.example").matches(parse_url("https://1.1.1.1/"))
    for text in ("https://192.0.2.1", "https://[2001:db8::1]", "https://example.com/", "*"):
        with pytest.raises(ValueError, match="must"):
            parse_pattern(text)
