"""The OpenAPI description."""

from typing import Any

from openapi_spec_validator import OpenAPIV31SpecValidator

from asyncendpoints_gateway.config import GatewayConfig
from asyncendpoints_gateway.openapi.document import document, hoist
from support.http.gateway import endpoint


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
