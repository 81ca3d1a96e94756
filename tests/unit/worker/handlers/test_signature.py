"""How a handler is called, and the errors about a body that does not match."""

import functools
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, NewType, TypeVar

import pytest
from annotated_types import Len
from pydantic import AfterValidator, BaseModel, field_validator
from typing_extensions import TypeAliasType

from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.jobs.records import Request
from asyncendpoints_worker.handlers.bodies import InvalidPayload
from asyncendpoints_worker.handlers.context import JobContext
from asyncendpoints_worker.handlers.registry import HANDLER, Declaration
from asyncendpoints_worker.handlers.signature import Signature, read


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


def of_type(annotation: Any) -> Any:
    def function(body): ...  # type: ignore[no-untyped-def]

    function.__annotations__["body"] = annotation
    return function


Bytes = NewType("Bytes", bytes)
T = TypeVar("T")
B = TypeVar("B", bound=bytes)
Choice = TypeVar("Choice", int, str)


class Box(BaseModel, Generic[T]):
    content: T


@pytest.mark.parametrize(
    ("annotation", "body", "value"),
    [
        (Annotated[bytes, "a comment"], b"\xff", b"\xff"),
        (Annotated[str, "a comment"], b"a", "a"),
        (Annotated[bytes, "a comment"] | None, b"", None),
        (Annotated[bytes | None, "a comment"], b"", None),
        (Annotated[Any, "a comment"], b"", None),
        (Annotated[dict[str, Any], "a comment"], b"{}", {}),
        (Annotated[bytes, Len(max_length=2)], b"ab", b"ab"),
        (Annotated[str, AfterValidator(str.upper)], b"a", "A"),
        (Bytes, b"\xff", b"\xff"),
        (NewType("More", Bytes), b"\xff", b"\xff"),
        (Bytes | None, b"", None),
        (NewType("Text", str), b"a", "a"),
        (NewType("Point2", Point), b'{"x": 1, "y": 2}', Point(1, 2)),
        (TypeAliasType("Alias", Annotated[bytes, "a comment"]), b"\xff", b"\xff"),
        (TypeAliasType("MaybeText", str | None), b"", None),
        (B, b"\xff", b"\xff"),
        (Choice, b"1", 1),
        (Box[int], b'{"content": 1}', Box[int](content=1)),
        (list["Point"], b'[{"x": 1, "y": 2}]', [Point(1, 2)]),
        ("Annotated[bytes, 1]", b"\xff", b"\xff"),
        (None, b"null", None),
    ],
    ids=str,
)
def test_the_type_in_an_annotation_decides(annotation: Any, body: bytes, value: Any) -> None:
    assert decoded(of_type(annotation), body) == value


def test_the_constraints_in_an_annotation_are_checked() -> None:
    assert "at most 2" in fault(of_type(Annotated[bytes, Len(max_length=2)]), b"secret")
    assert "secret" not in fault(of_type(Annotated[str, Len(max_length=2)]), b"secret")
    assert "at most 1" in fault(of_type(Annotated[dict, Len(max_length=1)]), b'{"a": 1, "b": 2}')


def type_checked(body: bytes, job: "Hidden") -> "Hidden": ...  # type: ignore[name-defined]  # noqa: F821
def context_type_checked(body: bytes, context: "JobContext | None" = None) -> None: ...
def other_context(body: bytes, context: JobContext = None) -> None: ...  # type: ignore[assignment]
def extra_first(extra: int, body: Point, job: JobContext) -> None: ...


class Handler(Generic[T]):
    def __call__(self, body: "Point") -> "Hidden": ...  # type: ignore[name-defined]  # noqa: F821
    def method(self, body: "Point", job: JobContext) -> None: ...
    async def waits(self, body: Point) -> None: ...

    @classmethod
    def of_class(cls, body: Point) -> None: ...

    @staticmethod
    def static(body: Point) -> None: ...

    partial = functools.partialmethod(method)


class AsyncHandler(Handler[int]):
    async def __call__(self, body: "Point") -> None: ...


def decorated(function: Any) -> Any:
    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        return function(*args, **options)

    return call


@pytest.mark.parametrize(
    ("function", "arity", "is_async"),
    [
        (functools.partial(extra_first, 1), 2, False),
        (functools.partial(AsyncHandler()), 1, True),
        (Handler(), 1, False),
        (AsyncHandler(), 1, True),
        (Handler().method, 2, False),
        (Handler().partial, 2, False),
        (Handler().waits, 1, True),
        (Handler.of_class, 1, False),
        (Handler.static, 1, False),
        (Handler.__dict__["static"], 1, False),
        (decorated(takes_point), 2, False),
        (decorated(Handler().method), 2, False),
        (functools.lru_cache(Handler.static), 1, False),
        (functools.singledispatch(takes_point), 2, False),
    ],
)
def test_whatever_can_be_called_is_a_handler(function: Any, arity: int, is_async: bool) -> None:
    found = signature(function)
    assert (found.arity, found.is_async) == (arity, is_async)
    assert found.decode(Request("POST", "/", body=b'{"x": 1, "y": 2}')) == Point(1, 2)


def test_only_the_annotation_of_the_body_has_to_be_resolved() -> None:
    for function in (type_checked, context_type_checked, other_context):
        assert signature(function).arity == 2
        assert decoded(function, b"\xff") == b"\xff"


def method(self, body): ...  # type: ignore[no-untyped-def]
def two_bodies(body: Point, database: Order) -> None: ...
def keyword_body(*, body: bytes) -> None: ...
def hidden_job_only(job: "JobContext | None") -> None: ...
def unwrapped(*args: Any, **options: Any) -> None: ...
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
        (unresolvable, "Missing.*not under TYPE_CHECKING"),
        (hidden_job_only, "first argument is the body"),
        (two_bodies, r"second argument is a JobContext, not .*Order"),
        (keyword_body, "body by keyword only"),
        (unwrapped, "functools.wraps"),
        (functools.partial(takes_point, body=Point(1, 2)), r"use \(body, job\)"),
        (method, r"a method, whose self nothing provides; use a bound method"),
        (Handler.method, "whose self nothing provides"),
        (Handler.__dict__["of_class"], "a classmethod, which cannot be called; use a bound method"),
        (functools.partialmethod(three, 1), "a partialmethod, which cannot be called"),
        (Point, "it is a class"),
        (functools.cache(asynchronous), "lru_cache keeps its coroutine"),
        (functools.partial(functools.lru_cache(asynchronous)), "can be awaited once only"),
        (staticmethod(functools.cache(AsyncHandler())), "lru_cache keeps its coroutine"),
        (7, "int, which cannot be called"),
        (of_type(T), "T is a type variable; name the type"),
        (of_type(bytearray), "cannot be validated: .*bytearray.*>[.]$"),
        (of_type("list["), "cannot be resolved"),
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


@pytest.mark.parametrize("function", [any_body, takes_object, takes_order, takes_numbers])
def test_a_byte_order_mark_is_named(function: Any) -> None:
    assert "byte order mark" in fault(function, b"\xef\xbb\xbf{}")


def test_an_object_is_expected_and_something_else_came() -> None:
    assert fault(takes_object, b"[1]") == "the body is not a JSON object"
