"""The CORS headers of responses."""

import pytest

from asyncendpoints_gateway.http.cors import EXPOSED, with_headers
from asyncendpoints_gateway.http.messages import Response
from asyncendpoints_gateway.openapi.parts import HEADERS


@pytest.mark.parametrize(
    ("given", "added", "merged"),
    [
        ({}, {"Vary": "Origin"}, "Origin"),
        ({"Vary": "Accept"}, {"Vary": "Origin"}, "Accept, Origin"),
        ({"Vary": "Accept, Origin"}, {"Vary": "Origin"}, "Accept, Origin"),
        ({"Vary": "Accept"}, {"X": "y"}, "Accept"),
    ],
)
def test_vary_keeps_what_it_has(given: dict[str, str], added: dict[str, str], merged: str) -> None:
    response = Response(200, given, b"body")
    changed = with_headers(response, added)
    assert changed.headers == {**given, **added, "Vary": merged}
    assert (changed.status, changed.body) == (200, b"body")
    assert response.headers == given


def test_pages_can_read_every_header_of_the_document() -> None:
    assert set(HEADERS) <= set(EXPOSED.split(", "))
