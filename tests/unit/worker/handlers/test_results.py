"""What handlers return, as HTTP will see it."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from asyncendpoints import Result
from asyncendpoints_worker.handlers.results import InvalidResult, encode

LIMIT = 1_000


class Report(BaseModel):
    title: str
    score: float | None = None


@dataclass
class Point:
    x: float


@pytest.mark.parametrize(
    ("value", "content_type", "body"),
    [
        (None, "application/json", b"null"),
        (b"\x00", "application/octet-stream", b"\x00"),
        (bytearray(b"a"), "application/octet-stream", b"a"),
        (memoryview(b"a"), "application/octet-stream", b"a"),
        ("é", "text/plain; charset=utf-8", "é".encode()),
        ({"a": [1, None]}, "application/json", b'{"a":[1,null]}'),
        (0, "application/json", b"0"),
        (False, "application/json", b"false"),
        ((1, 2), "application/json", b"[1,2]"),
        (Point(1.5), "application/json", b'{"x":1.5}'),
        (Report(title="t"), "application/json", b'{"title":"t","score":null}'),
        ([Report(title="t")], "application/json", b'[{"title":"t","score":null}]'),
        (datetime(2026, 1, 2, tzinfo=UTC), "application/json", b'"2026-01-02T00:00:00Z"'),
        (Result(b"%PDF", content_type="application/pdf"), "application/pdf", b"%PDF"),
        (Result("<p>", content_type="text/html"), "text/html", b"<p>"),
        (Result({"a": 1}), "application/json", b'{"a":1}'),
        (Result(None), "application/json", b"null"),
    ],
)
def test_each_kind_of_value_has_its_content_type(
    value: Any, content_type: str, body: bytes
) -> None:
    stored = encode(value, LIMIT)
    assert (stored.content_type, stored.body) == (content_type, body)


def test_a_result_may_have_a_file_name() -> None:
    assert encode(Result(b"", filename="r.pdf"), LIMIT).filename == "r.pdf"


def test_the_limit_is_in_bytes() -> None:
    assert encode("é" * 500, LIMIT).body
    with pytest.raises(InvalidResult) as caught:
        encode("é" * 501, LIMIT)
    assert caught.value.code == "result-too-large"


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {"a": object()},
        "\ud800",
        math.nan,
        {"a": [math.inf]},
        Point(math.nan),
        Report(title="t", score=math.nan),
        [Report(title="t", score=math.inf)],
        (each for each in [1]),
    ],
)
def test_what_json_cannot_hold_is_an_invalid_result(value: Any) -> None:
    with pytest.raises(InvalidResult) as caught:
        encode(value, LIMIT)
    assert caught.value.code == "invalid-result"


@pytest.mark.parametrize(
    "arguments",
    [
        {"content_type": "a\r\nb: c"},
        {"filename": "a\nb"},
        {"filename": "\ud800.txt"},
        {"content_type": "é"},
    ],
)
def test_what_could_not_be_a_header_is_refused_at_once(arguments: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="must"):
        Result(b"", **arguments)
