"""What a submission asks for: its headers, and its fingerprint."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from asyncendpoints_core.jobs.records import Request
from asyncendpoints_gateway.http.headers import KEPT
from asyncendpoints_gateway.http.problems import Problem
from asyncendpoints_gateway.views.submission import fingerprint, readable, submission_headers


def test_a_fingerprint_differs_for_every_difference() -> None:
    requests = [
        Request("POST", "/a", "b", {}, {}, "c", b"d"),
        Request("PUT", "/a", "b", {}, {}, "c", b"d"),
        Request("POST", "/ab", "", {}, {}, "c", b"d"),
        Request("POST", "/a", "bc", {}, {}, "", b"d"),
        Request("POST", "/a", "b", {}, {}, "cd", b""),
        Request("POST", "/a", "b", {}, {}, "c", b"e"),
    ]
    prints = {fingerprint(request) for request in requests}
    assert len(prints) == len(requests)
    assert {len(each) for each in prints} == {16}
    other = Request("POST", "/a", "b", {"x": "1"}, {"accept": "*/*"}, "c", b"d")
    assert fingerprint(other) == fingerprint(requests[0])


def _headers(*pairs: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(pairs))


def test_headers_are_kept_and_given() -> None:
    found = submission_headers(
        _headers(
            ("Host", "h"),
            ("ACCEPT", "a"),
            ("accept", "b"),
            ("X-Tenant", "blue"),
            ("Job-Delay", "1"),
            ("Authorization", "secret"),
            ("Prefer", "wait=1"),
            ("Prefer", "wait=2"),
        ),
        KEPT | {"x-tenant"},
    )
    assert found.kept == {"accept": "a, b", "x-tenant": "blue"}
    assert found.given == {"host": "h", "job-delay": "1", "prefer": "wait=1, wait=2"}
    assert found.single("job-delay") == "1"
    assert found.single("job-expires") is None
    with pytest.raises(Problem):
        found.single("prefer")


def test_authorization_is_kept_only_when_named() -> None:
    headers = _headers(("Authorization", "secret"))
    assert submission_headers(headers, KEPT).kept == {}
    assert submission_headers(headers, KEPT | {"authorization"}).kept == {"authorization": "secret"}


@given(st.binary(max_size=40))
def test_what_is_not_utf8_is_latin1(data: bytes) -> None:
    text = readable(data.decode("utf-8", "surrogateescape"))
    try:
        assert text == data.decode("utf-8")
    except UnicodeDecodeError:
        assert text == data.decode("latin-1")
    text.encode("utf-8")
