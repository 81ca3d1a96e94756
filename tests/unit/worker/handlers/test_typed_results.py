"""Results of code-first handlers, encoded as the type that the function says it returns."""

import json
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel, ConfigDict, Field

from asyncendpoints import Result, UsageError
from asyncendpoints_worker.handlers.registry import HANDLER, Declaration
from asyncendpoints_worker.handlers.results import InvalidResult, encode
from asyncendpoints_worker.handlers.typed_results import by_annotation


class Small(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    count: int = Field(alias="theCount")


class Large(Small):
    secret: str = "hidden"


@dataclass
class Point:
    x: float


class Wheel(msgspec.Struct, rename="camel"):
    wheel_size: int


def encoded(annotation: Any, value: Any) -> Any:
    def work() -> Any: ...

    work.__annotations__["return"] = annotation
    plain = by_annotation(Declaration(HANDLER, "work", work, "jobs.py:1"))
    stored = encode(value, 1_000, plain)
    return json.loads(stored.body) if stored.content_type == "application/json" else stored


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (Small, Small(count=1), {"theCount": 1}),
        (Small, Large(count=1), {"theCount": 1}),
        (Small, {"theCount": 2}, {"theCount": 2}),
        (Small, {"count": 2}, {"theCount": 2}),
        (list[Small], [Small(count=1)], [{"theCount": 1}]),
        (Point, Point(1.5), {"x": 1.5}),
        (int | str, "text", "text"),
        (Small | None, None, None),
        (Wheel, Wheel(3), {"wheelSize": 3}),
        (list[Wheel], [{"wheelSize": 3}], [{"wheelSize": 3}]),
        (Any, {"a": 1}, {"a": 1}),
        (None, None, None),
    ],
)
def test_the_annotation_decides(annotation: Any, value: Any, expected: Any) -> None:
    assert encoded(annotation, value) == expected


def test_text_bytes_and_results_are_as_returned() -> None:
    assert encoded(str, "a").content_type == "text/plain; charset=utf-8"
    assert encoded(bytes, b"a").content_type == "application/octet-stream"
    assert encoded(Result, Result("a,b", content_type="text/csv")).content_type == "text/csv"
    assert encoded(Small, Result(b"x", content_type="image/png")).content_type == "image/png"


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (Small, {"theCount": "secret-value"}, "theCount: Input should be a valid integer"),
        (Wheel, {"wheelSize": "secret-value"}, "wheelSize: Expected `int`, got `str`"),
        (Wheel, {}, "body: Object missing required field `wheelSize`"),
        (Point, Point(float("nan")), "NaN"),
        (dict[str, float], {"a": float("inf")}, "NaN"),
    ],
)
def test_what_does_not_fit_is_an_invalid_result(annotation: Any, value: Any, message: str) -> None:
    with pytest.raises(InvalidResult) as caught:
        encoded(annotation, value)
    assert message in str(caught.value)
    assert "secret-value" not in str(caught.value)
    assert caught.value.code == "invalid-result"


def test_a_type_that_cannot_be_encoded_is_refused_at_the_start() -> None:
    class Plain: ...

    with pytest.raises(UsageError, match=r'handler "work" \(jobs\.py:1\): its return annotation'):
        encoded(Plain, None)
    with pytest.raises(UsageError, match="its return annotation cannot be"):
        encoded("Nothing", None)
