"""The OpenAPI description."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from asyncendpoints_gateway.config import GatewayConfig
from asyncendpoints_gateway.http.headers import seconds_ms
from asyncendpoints_gateway.http.problems import Problem
from asyncendpoints_gateway.openapi.components import hoist
from asyncendpoints_gateway.openapi.document import document
from support.http.gateway import ROUTES, endpoint


def test_definitions_become_components() -> None:
    schemas: dict[str, Any] = {"job.body.A": {}}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "properties": {
            "$ref": {"$ref": "#/$defs/A"},
            "self": {"$ref": "#"},
            "deep": {"$ref": "#/$defs/A/properties/x"},
            "here": {"$ref": "#/properties/self"},
            "data": {"const": {"$ref": "#/$defs/A"}},
        },
        "$defs": {
            "A": {"properties": {"x": {"$ref": "#/$defs/b~1 c"}}},
            "b/ c": {"type": "string"},
        },
    }
    reference = hoist(schema, "job.body", schemas)
    assert reference == {"$ref": "#/components/schemas/job.body"}
    moved = schemas["job.body"]["properties"]
    assert moved["$ref"] == {"$ref": "#/components/schemas/job.body.A_2"}
    assert moved["self"] == {"$ref": "#/components/schemas/job.body"}
    assert moved["deep"] == {"$ref": "#/components/schemas/job.body.A_2/properties/x"}
    assert moved["here"] == {"$ref": "#/components/schemas/job.body/properties/self"}
    assert moved["data"] == {"const": {"$ref": "#/$defs/A"}}
    assert schemas["job.body.A_2"]["properties"]["x"] == {
        "$ref": "#/components/schemas/job.body.b_c"
    }
    assert "$schema" not in schemas["job.body"]
    assert "$defs" in schema  # the route's own is left as it was


def test_every_endpoint_has_a_valid_description() -> None:
    recursive = {"$ref": "#/$defs/Node", "$defs": {"Node": {"items": {"$ref": "#/$defs/Node"}}}}
    with_id = {
        "$id": "urn:x",
        "anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "urn:x#/$defs/A"}],
        "$defs": {"A": {"type": "string"}},
    }
    routes = [
        {"path": "/a", "job": "same", "schema": recursive},
        {"path": "/b", "job": "same", "methods": ["POST", "PUT"], "schema": with_id},
        {"path": "/c/{x}", "job": "same", "headers": ["X-Tenant", "Authorization"]},
    ]
    described = document(GatewayConfig.of(endpoint(routes=routes)), guarded=True)
    OpenAPIV31SpecValidator(described).validate()
    operations = [
        operation["operationId"]
        for item in described["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict)
    ]
    assert len(operations) == len(set(operations))
    assert described["security"] == [{"bearer": []}]


def responses(described: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in described["paths"].values():
        for operation in item.values():
            if isinstance(operation, dict):
                yield operation["responses"]


def test_an_endpoint_without_tokens_says_so() -> None:
    described = document(GatewayConfig.of(endpoint()))
    assert described["security"] == []
    assert not any("401" in each for each in responses(described))
    guarded = document(GatewayConfig.of(endpoint()), guarded=True)
    assert all("401" in each for each in responses(guarded))


REPORT: dict[str, Any] = {"type": "object", "properties": {"pages": {"$ref": "#/$defs/Pages"}}}
DEFINITIONS: dict[str, Any] = {"$defs": {"Pages": {"type": "integer"}}}
RESULTS: list[dict[str, Any]] = [
    {"path": "/report", "job": "report", "result": {"schema": {**REPORT, **DEFINITIONS}}},
    {"path": "/sum", "job": "sum", "result": {"schema": {"type": "integer"}}},
    {"path": "/csv", "job": "csv", "result": {"contentType": "Text/CSV; charset=utf-8"}},
    {"path": "/png", "job": "png", "result": {"contentType": "image/png"}},
]


def test_every_media_type_is_concrete() -> None:
    text = json.dumps(document(GatewayConfig.of(endpoint(routes=[*ROUTES, *RESULTS]))))
    assert "*/*" not in text


def test_a_declared_result_is_the_200_of_its_route_and_one_of_getResult() -> None:
    described = document(GatewayConfig.of(endpoint(routes=RESULTS)))
    OpenAPIV31SpecValidator(described).validate()
    contents = {
        path: item["post"]["responses"]["200"]["content"]
        for path, item in described["paths"].items()
        if not path.startswith("/jobs")
    }
    report = {"$ref": "#/components/schemas/report.result"}
    total = {"$ref": "#/components/schemas/sum.result"}
    binary = {"schema": {"type": "string", "format": "binary"}}
    assert contents == {
        "/report": {"application/json": {"schema": report}},
        "/sum": {"application/json": {"schema": total}},
        "/csv": {"text/csv": {"schema": {"type": "string"}}},
        "/png": {"image/png": binary},
    }
    schemas = described["components"]["schemas"]
    assert schemas["report.result"]["properties"]["pages"] == {
        "$ref": "#/components/schemas/report.result.Pages"
    }
    assert described["paths"]["/jobs/{id}/result"]["get"]["responses"]["200"]["content"] == {
        "application/json": {"schema": {"anyOf": [report, total]}},
        "text/csv": {"schema": {"type": "string"}},
        "image/png": binary,
    }


def test_without_a_declared_result_anything_can_come() -> None:
    described = document(GatewayConfig.of(endpoint(routes=[*ROUTES, *RESULTS])))
    content = described["paths"]["/jobs/{id}/result"]["get"]["responses"]["200"]["content"]
    assert content["application/json"] == {"schema": {}}
    assert {"text/plain", "application/octet-stream"} <= set(content)


@pytest.mark.parametrize(
    ("name", "value", "valid"),
    [
        ("Job-Delay", "0", True),
        ("Job-Expires", "0", False),
        ("Job-Expires", "0.000", False),
        ("Job-Expires", "0.001", True),
        ("Job-Expires", "10", True),
        ("Job-Expires", "1234567890", False),
    ],
)
def test_the_patterns_of_headers_are_what_the_gateway_accepts(
    name: str, value: str, valid: bool
) -> None:
    described = document(GatewayConfig.of(endpoint()))
    parameters = described["paths"]["/reports/latest"]["post"]["parameters"]
    [pattern] = [each["schema"]["pattern"] for each in parameters if each["name"] == name]
    assert (re.search(pattern, value) is not None) is valid
    if valid:
        seconds_ms(name, value, positive=name == "Job-Expires")
    else:
        with pytest.raises(Problem):
            seconds_ms(name, value, positive=True)
