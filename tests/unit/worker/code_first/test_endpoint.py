"""Endpoints in code: what the decorators refuse, the resource that they describe, its schemas."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
import pytest
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from asyncendpoints import Endpoint, JobContext, Result, UsageError
from asyncendpoints_core.resource.schemas import compile_schema, is_valid

T = TypeVar("T")


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]
    loud: bool = False


class Order(BaseModel):
    model_config = ConfigDict(alias_generator=str.upper)
    sku: Annotated[str, Field(pattern="^[a-z]+$")]
    price: Decimal = Decimal(1)
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


class Page(BaseModel, Generic[T]):
    items: list[T]


@dataclass
class Point:
    x: int
    y: int = 0


class Named(TypedDict):
    name: str


class Wheel(msgspec.Struct, rename="camel"):
    wheel_size: int


def route_of(function: Callable[..., Any], **options: Any) -> dict[str, Any]:
    """Return the route of a function as the document has it."""
    ep = Endpoint("work")
    ep.post("/work", name="work", **options)(function)
    route: dict[str, Any] = ep.document()["spec"]["routes"][0]
    return route


def test_the_document_has_what_the_code_gives_and_nothing_else() -> None:
    ep = Endpoint(
        "reports",
        namespace="shop",
        worker={"concurrency": 4},
        retry={"max_retries": 5, "initialSeconds": 0.5},
        on_delete="Purge",
        autoscaling={"max_replicas": 3},
    )

    @ep.post("/reports/{customer}", headers=["X-Tenant"])
    async def build_report(body: Point, job: JobContext) -> list[int]:
        return [body.x]

    @ep.put("/uploads")
    def upload_(body: bytes) -> str:
        return str(len(body))

    ep.patch("/any")(lambda_ := Anything())
    ep.delete("/any/{id}", name="forget")(lambda_)

    document = ep.document()
    routes = document["spec"].pop("routes")
    assert document == {
        "apiVersion": "asyncendpoints.io/v1alpha1",
        "kind": "AsyncEndpoint",
        "metadata": {"name": "reports", "namespace": "shop"},
        "spec": {
            "worker": {"concurrency": 4, "handlers": __name__},
            "retry": {"maxRetries": 5, "initialSeconds": 0.5},
            "onDelete": "Purge",
            "autoscaling": {"maxReplicas": 3},
        },
    }
    assert [(each["path"], each["methods"], each["job"]) for each in routes] == [
        ("/reports/{customer}", ["POST"], "build-report"),
        ("/uploads", ["PUT"], "upload"),
        ("/any", ["PATCH"], "anything"),
        ("/any/{id}", ["DELETE"], "forget"),
    ]
    assert routes[0]["headers"] == ["X-Tenant"]
    assert routes[0]["result"] == {"schema": {"type": "array", "items": {"type": "integer"}}}
    assert routes[1] == {
        "path": "/uploads",
        "methods": ["PUT"],
        "job": "upload",
        "result": {"contentType": "text/plain; charset=utf-8"},
    }
    assert set(routes[2]) == {"path", "methods", "job"}
    resource = ep.resource()
    assert resource.key == "shop/reports"
    assert resource.spec.retry.max_retries == 5
    assert sorted(ep.registry().handlers) == ["anything", "build-report", "forget", "upload"]


class Anything:
    __name__ = "anything"

    async def __call__(self, body: Any) -> Any:
        return body


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        (Order, {"SKU": "a", "PET": {"kind": "cat"}}, {"sku": "a", "pet": {"kind": "cat"}}),
        (Page[Point], {"items": [{"x": 1}]}, {"items": [{"y": 1}]}),
        (Point | None, None, {"x": "1"}),
        (Named, {"name": "a"}, {"name": 1}),
        (Wheel, {"wheelSize": 1}, {"wheel_size": 1}),
        (list[Wheel], [{"wheelSize": 1}], [{}]),
        (dict[str, int], {"a": 1}, {"a": "1"}),
        (int, 1, "1"),
        (Annotated[Cat | Dog, Field(discriminator="kind")], {"kind": "dog"}, {"kind": "cow"}),
    ],
)
def test_the_schema_of_a_body(annotation: Any, good: Any, bad: Any) -> None:
    def work(body):  # type: ignore[no-untyped-def]
        return None

    work.__annotations__["body"] = annotation
    schema = compile_schema(route_of(work)["schema"])
    assert is_valid(schema, good)
    assert not is_valid(schema, bad)


@pytest.mark.parametrize("annotation", [str, bytes, Any, bytes | None, None])
def test_text_bytes_and_anything_have_no_schema(annotation: Any) -> None:
    def work(body):  # type: ignore[no-untyped-def]
        return None

    if annotation is not None:
        work.__annotations__["body"] = annotation
    assert "schema" not in route_of(work)


def test_a_result_is_described_by_its_serialization_schema() -> None:
    def order(body: Order) -> Order:
        return body

    found = route_of(order, result={"check": True})
    price = found["result"]["schema"]["properties"]["PRICE"]
    assert found["result"]["check"] is True
    assert price["type"] == "string"
    assert found["schema"]["properties"]["PRICE"]["anyOf"][0] == {"type": "number"}


def test_a_result_may_be_anything() -> None:
    def free() -> Result | dict[str, int]:
        return {}

    def maybe() -> str | None:
        return None

    assert "result" not in route_of(free)
    assert "result" not in route_of(maybe)


def test_given_schemas_take_the_place_of_the_annotations() -> None:
    def work(body: Point) -> int:
        return 1

    given = {"type": "object"}
    found = route_of(work, schema=given, result={"schema": {"type": "number"}})
    assert found["schema"] == given
    assert found["result"] == {"schema": {"type": "number"}}
    assert "schema" not in route_of(work, schema=None)


class BadPattern(BaseModel):
    sku: Annotated[str, Field(json_schema_extra={"pattern": "(?=a)b"})]


class Holder(BaseModel):
    inner: BadPattern


def test_what_limits_refuse_is_named_by_model_and_field() -> None:
    def work(body: Holder) -> None: ...

    with pytest.raises(UsageError, match=r"BadPattern\.sku must be a short regular expression"):
        route_of(work)


def test_a_type_without_a_schema_is_refused() -> None:
    def work(body: Callable[[], int]) -> None: ...

    with pytest.raises(
        UsageError, match=rf'handler "work" \({re.escape(__file__)}:\d+\): its body'
    ):
        route_of(work)


def test_one_path_has_one_function_and_one_job_one_handler() -> None:
    ep = Endpoint("twice")

    @ep.post("/a", methods=["POST", "PUT"])
    def first() -> None: ...

    ep.post("/b", name="again")(first)  # one function may run several jobs
    here = re.escape(__file__)
    with pytest.raises(UsageError, match=rf"two functions have the path /a: {here}:\d+ and {here}"):

        @ep.put("/a")
        def second() -> None: ...

    with pytest.raises(UsageError, match=rf'job "first" has two handlers: {here}:\d+ and {here}'):
        ep.post("/c", name="first")(lambda: None)
    assert [route.methods for route in ep.declared().routes] == [("POST", "PUT"), ("POST",)]


def test_a_parameter_of_the_path_is_not_one_of_the_function() -> None:
    ep = Endpoint("params")
    with pytest.raises(UsageError, match=r'takes customer, .*job\.route_params\["customer"\]'):

        @ep.post("/reports/{customer}")
        def report(body: int, customer: str) -> None: ...


def test_generators_and_bare_decorators_are_refused() -> None:
    ep = Endpoint("refused")
    with pytest.raises(UsageError, match="is a generator"):

        @ep.post("/a")
        def rows(body: int) -> Any:
            yield 1

    with pytest.raises(UsageError, match="the path of the route is missing"):
        ep.post(lambda: None)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="has no route"):
        ep.resource()
    with pytest.raises(UsageError, match="declare them by decorators"):
        Endpoint("other", routes=[])


def test_faults_name_the_line_of_the_code() -> None:
    ep = Endpoint("faulty", retry={"max_retris": 1})

    @ep.post("/jobs/mine", metods=["POST"])
    def mine() -> None: ...

    with pytest.raises(UsageError) as caught:
        ep.resource()
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert all(line.startswith(f"{__file__}:") for line in lines)
    assert any("spec.retry.max_retris: unknown field; did you mean maxRetries?" in x for x in lines)
    assert any("/jobs is reserved" in line for line in lines)
    assert any("metods: unknown field; did you mean methods?" in line for line in lines)


def test_the_module_of_workers_cannot_be_another() -> None:
    ep = Endpoint("elsewhere", worker={"handlers": "other.module"})
    ep.post("/a")(lambda_named())
    with pytest.raises(UsageError, match=rf"worker\.handlers is {re.escape(__name__)}, the module"):
        ep.resource()


def lambda_named() -> Callable[[], None]:
    def named() -> None: ...

    return named
