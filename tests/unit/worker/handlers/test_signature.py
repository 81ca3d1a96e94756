"""How a handler is called, and the errors about a body that does not match."""

from dataclasses import dataclass
from typing import Any, Literal

import pytest
from pydantic import BaseModel, field_validator

from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.jobs.records import Request
from asyncendpoints_worker.handlers.context import JobContext
from asyncendpoints_worker.handlers.registry import HANDLER, Declaration
from asyncendpoints_worker.handlers.signature import InvalidPayload, Signature, read


def signature(function: Any) -> Signature:
    return read(Declaration(HANDLER, "job", function, "jobs.py:7"))


def decoded(function: Any, body: bytes, content_type: str = "application/json") -> Any:
    request = Request("POST", "/", body=body, content_type=content_type)
    return signature(function).decode(request)


def fault(function: Any, body: bytes, content_type: str = "application/json") -> str:
    with pytest.raises(InvalidPayload) as caught:
        decoded(function, body, content_type)
    assert caught.value.code == "invalid-payload"
    return str(caught.value)


def nothing() -> None: ...
def any_body(body): ...  # type: ignore[no-untyped-def]
def both(body, job): ...  # type: ignore[no-untyped-def]
async def asynchronous(body: bytes, job: JobContext) -> None: ...
def takes_object(body: dict[str, Any]) -> None: ...
def takes_bare_object(body: dict) -> None: ...  # type: ignore[type-arg]
def takes_object_or_none(body: dict[str, Any] | None) -> None: ...
def takes_bytes(body: bytes) -> None: ...
def takes_text(body: str) -> None: ...
def takes_numbers(body: list[int]) -> None: ...


class Item(BaseModel):
    sku: str
    count: int

    @field_validator("sku")
    @classmethod
    def _known(cls, value: str) -> str:
        if value == "secret-sku":
            raise ValueError(f"{value} is not sold")
        return value


class Order(BaseModel):
    items: list[Item]
    kind: Literal["new", "used"] = "new"


@dataclass
class Point:
    x: int
    y: int


def takes_order(body: Order) -> None: ...
def takes_order_or_none(body: Order | None) -> None: ...
def takes_point(body: Point, job: JobContext) -> None: ...


def test_the_number_of_arguments_decides_what_is_passed() -> None:
    assert [signature(each).arity for each in (nothing, any_body, both)] == [0, 1, 2]
    assert signature(asynchronous).is_async
    assert not signature(both).is_async


def test_an_argument_with_a_default_of_its_own_is_left_alone() -> None:
    assert signature(lambda body, retries=3: None).arity == 1
    assert signature(lambda body, job=None: None).arity == 2


def test_an_object_with_an_async_call_is_async() -> None:
    class Callable:
        async def __call__(self, body: bytes) -> None: ...

    assert signature(Callable()).is_async


def three(a, b, c): ...  # type: ignore[no-untyped-def]
def keyword_only(body, *, extra): ...  # type: ignore[no-untyped-def]
def any_number(*bodies): ...  # type: ignore[no-untyped-def]
def job_only(job: JobContext) -> None: ...
def unresolvable(body: "Missing") -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (three, "3 arguments"),
        (keyword_only, "extra"),
        (any_number, r"\*bodies"),
        (job_only, "first argument is the body"),
        (unresolvable, "Missing"),
    ],
)
def test_what_cannot_be_called_is_refused_with_its_place(function: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        signature(function)
    assert 'handler "job" (jobs.py:7)' in str(caught.value)


def test_plain_bodies() -> None:
    assert decoded(any_body, b"[1, null]") == [1, None]
    assert decoded(takes_object, b'{"a": 1}') == {"a": 1}
    assert decoded(takes_bare_object, b'{"a": 1}') == {"a": 1}
    assert decoded(takes_bytes, b"\xff") == b"\xff"
    assert decoded(takes_numbers, b"[1,2]") == [1, 2]


def test_text_is_decoded_by_its_charset() -> None:
    assert decoded(takes_text, "é".encode(), "text/plain") == "é"
    assert decoded(takes_text, "é".encode("latin-1"), 'text/plain; charset="ISO-8859-1"') == "é"
    assert "charset" in fault(takes_text, b"\xff", "text/plain")
    assert "charset" in fault(takes_text, b"x", "text/plain; charset=nonsense")


def test_models_and_dataclasses_are_validated() -> None:
    order = decoded(takes_order, b'{"items": [{"sku": "a", "count": 2}]}')
    assert order == Order(items=[Item(sku="a", count=2)])
    assert decoded(takes_point, b'{"x": 1, "y": 2}') == Point(1, 2)


def test_an_empty_body_is_none_only_where_none_is_allowed() -> None:
    for allows in (any_body, takes_object_or_none, takes_order_or_none):
        assert decoded(allows, b"") is None
    for refuses in (takes_object, takes_bytes, takes_text, takes_order, takes_point):
        assert fault(refuses, b"") == "the body is empty"


def test_a_fault_names_the_field_and_never_the_value() -> None:
    message = fault(takes_order, b'{"items": [{"sku": "secret-sku", "count": "secret"}]}')
    assert "items.0.sku" in message
    assert "items.0.count" in message
    assert "secret" not in message
    assert "kind" in fault(takes_order, b'{"items": [], "kind": "secret"}')


@pytest.mark.parametrize("function", [any_body, takes_object, takes_order, takes_numbers])
@pytest.mark.parametrize("body", [b"{", b"secret", b"\xff\xfe", b'{"a": NaN}'])
def test_what_is_not_json_is_refused_without_quoting_it(function: Any, body: bytes) -> None:
    assert "secret" not in fault(function, body)


def test_an_object_is_expected_and_something_else_came() -> None:
    assert fault(takes_object, b"[1]") == "the body is not a JSON object"
