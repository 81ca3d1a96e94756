"""What handlers return, as HTTP will see it."""

import math
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import Enum, IntEnum
from fractions import Fraction
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

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


def nested(depth: int) -> list[Any]:
    """Return lists in lists."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


class Name(str): ...


class Count(int): ...


class Share(float): ...


class Blob(bytes): ...


class Moment(datetime): ...


class Day(date): ...


class Hour(time): ...


class Rows(list[Any]): ...


class Color(str, Enum):  # noqa: UP042  # also of libraries that support Python 3.10
    RED = "red"


class Size(Enum):
    HALF = 0.5


class Level(IntEnum):
    HIGH = 3


class Pair(NamedTuple):
    x: int
    y: int


class Free(BaseModel):
    x: Any


@pytest.mark.parametrize(
    ("value", "body"),
    [
        (Name("é"), '"é"'),
        (Count(3), "3"),
        (Share(1.5), "1.5"),
        (Moment(2026, 1, 2, tzinfo=UTC), '"2026-01-02T00:00:00Z"'),
        (Day(2026, 1, 2), '"2026-01-02"'),
        (date(2026, 1, 2), '"2026-01-02"'),
        (Hour(1, 2), '"01:02:00"'),
        (Rows([Name("a")]), '["a"]'),
        (Color.RED, '"red"'),
        (Size.HALF, "0.5"),
        (Level.HIGH, "3"),
        (Pair(1, Count(2)), "[1,2]"),
        (OrderedDict({Name("a"): Count(1)}), '{"a":1}'),
        (Counter("a"), '{"a":1}'),
        (deque([1]), "[1]"),
        (MappingProxyType({"a": 1}), '{"a":1}'),
        (2**70, str(2**70)),
        ({2: 2, None: 3, True: 4}, '{"2":2,"null":3,"true":4}'),
        ({(1, "a"): 2, (): 3}, '{"1,a":2,"":3}'),
        ({Color.RED: 1, date(2026, 1, 2): 2}, '{"red":1,"2026-01-02":2}'),
        (IPv4Address("127.0.0.1"), '"127.0.0.1"'),
        (IPv4Interface("10.0.0.1/8"), '"10.0.0.1/8"'),
        (IPv4Network("10.0.0.0/8"), '"10.0.0.0/8"'),
        (IPv6Address("::1"), '"::1"'),
        (IPv6Interface("fe80::1/64"), '"fe80::1/64"'),
        (IPv6Network("fe80::/64"), '"fe80::/64"'),
        (Fraction(1, 2), '"1/2"'),
        (Path("/a"), '"/a"'),
    ],
)
def test_what_json_or_pydantic_takes_is_taken_anywhere(value: Any, body: str) -> None:
    assert encode([value], LIMIT).body.decode() == f"[{body}]"
    assert encode({"x": value}, LIMIT).body.decode() == f'{{"x":{body}}}'
    assert encode(Point(value), LIMIT).body.decode() == f'{{"x":{body}}}'
    if not isinstance(value, dict):  # pydantic has keys of its own
        assert encode(Free(x=value), LIMIT).body.decode() == f'{{"x":{body}}}'
    if isinstance(value, str):
        assert encode(value, LIMIT).body.decode() == body.strip('"')
    else:
        assert encode(value, LIMIT).body.decode() == body


@pytest.mark.parametrize("value", [Name("a"), Blob(b"a"), Color.RED, Result(Blob(b"a"))])
def test_what_is_stored_is_of_exact_types(value: Any) -> None:
    stored = encode(value, LIMIT)
    assert (type(stored.body), type(stored.content_type)) == (bytes, str)
    chosen = encode(Result(b"", content_type=Name("a/b"), filename=Name("c")), LIMIT)
    assert (type(chosen.content_type), type(chosen.filename)) == (str, str)


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
        {"a": Share(math.nan)},
        {frozenset("a"): 1},
        {None: math.nan},
    ],
)
def test_what_json_cannot_hold_is_an_invalid_result(value: Any) -> None:
    with pytest.raises(InvalidResult) as caught:
        encode(value, LIMIT)
    assert caught.value.code == "invalid-result"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({frozenset("a"): 1}, "`frozenset` not valid as object key"),
        ({(1, 2): "a", "1,2": "b"}, "two keys of an object have the same JSON form"),
        ({"a": "\ud800"}, "it holds text that UTF-8 cannot encode"),
        ({"a": nested(10_000)}, "it is nested too deeply, or contains itself"),
    ],
)
def test_the_error_says_why_a_result_cannot_be_json(value: Any, reason: str) -> None:
    with pytest.raises(InvalidResult, match=f": {reason}$"):
        encode(value, LIMIT)


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
