"""What `result(into=…)` returns for each kind of type."""

import importlib.util
from dataclasses import dataclass
from typing import Any

import httpx2
import msgspec
import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from asyncendpoints_client import _replies
from asyncendpoints_client._steps import Reply

BODY = b'{"total": 3, "lines": ["a", "b"]}'
EXPECTED = ("total", 3), ("lines", ["a", "b"])


class Model(BaseModel):
    total: int
    lines: list[str]


class Struct(msgspec.Struct):
    total: int
    lines: list[str]


@dataclass
class Data:
    total: int
    lines: list[str]


class Typed(TypedDict):
    total: int
    lines: list[str]


def reply(body: bytes = BODY, content_type: str = "application/json") -> Reply:
    return Reply(200, httpx2.Headers({"Content-Type": content_type}), body)


@pytest.mark.parametrize("into", [Model, Struct, Data])
def test_a_result_becomes_an_object(into: Any) -> None:
    found = _replies.value(reply(), into)
    assert type(found) is into
    assert all(getattr(found, name) == expected for name, expected in EXPECTED)


@pytest.mark.parametrize(
    ("into", "body", "expected"),
    [
        (Typed, BODY, dict(EXPECTED)),
        (list[Model], b'[{"total": 1, "lines": []}]', [Model(total=1, lines=[])]),
        (int | None, b"7", 7),
    ],
)
def test_any_type_is_taken_with_pydantic(into: Any, body: bytes, expected: object) -> None:
    assert _replies.value(reply(body), into) == expected


def test_a_dataclass_needs_no_pydantic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert _replies.value(reply(), Data) == Data(3, ["a", "b"])
    with pytest.raises(TypeError, match="needs pydantic: pip install pydantic"):
        _replies.value(reply(), list[int])


@pytest.mark.parametrize("into", [Model, Struct, Data])
def test_a_result_that_does_not_fit_is_an_error(into: Any) -> None:
    with pytest.raises(ValueError, match="total"):
        _replies.value(reply(b'{"total": "many", "lines": []}'), into)


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"[1]", "application/vnd.api+json", [1]),
        ("é".encode("latin-1"), "text/plain; charset=latin-1", "é"),
        (b"\xff", "text/plain; charset=nonsense", "\ufffd"),
        (b"\x00", "application/octet-stream", b"\x00"),
    ],
)
def test_without_a_type_the_content_type_decides(
    body: bytes, content_type: str, expected: object
) -> None:
    assert _replies.value(reply(body, content_type)) == expected
