"""Fingerprints of submissions."""

from asyncendpoints_core.jobs.records import Request
from asyncendpoints_gateway.views.submit import fingerprint


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
