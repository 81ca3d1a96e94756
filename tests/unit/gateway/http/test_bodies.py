"""Content types of bodies."""

import pytest

from asyncendpoints_gateway.http.bodies import is_json


@pytest.mark.parametrize(
    ("content_type", "json_"),
    [
        ("application/json", True),
        ("Application/JSON ; charset=utf-8", True),
        ("application/problem+json", True),
        ("text/x+json", True),
        ("application/json-seq", False),
        ("+json", False),
        ("/+json", False),
        ("text/plain", False),
        ("", False),
    ],
)
def test_what_is_json(content_type: str, json_: bool) -> None:
    assert is_json(content_type) is json_
