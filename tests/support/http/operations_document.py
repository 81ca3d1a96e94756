"""Holds answers of the operations API against its OpenAPI document."""

import re
from functools import cache
from typing import Any

from jsonschema_rs import Draft202012Validator

from asyncendpoints_console.openapi.document import document
from support.cli import Answer


def _closed(node: Any) -> Any:
    """Return a schema that allows no member that it does not name."""
    if isinstance(node, list):
        return [_closed(each) for each in node]
    if not isinstance(node, dict):
        return node
    found = {key: _closed(value) for key, value in node.items()}
    if isinstance(node.get("properties"), dict):
        found["additionalProperties"] = False
    return found


@cache
def _described() -> tuple[Any, dict[str, Any]]:
    described = document()
    return described["paths"], _closed(described["components"])


@cache
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": schema, "components": _described()[1]})


def template_of(path: str) -> str | None:
    """Return the document's path of a request, None for a page."""
    for template in sorted(_described()[0], key=lambda each: each.count("{")):
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path):
            return str(template)
    return None


def check(method: str, path: str, answer: Answer) -> None:
    """Assert that the document describes an answer."""
    template = template_of(path.partition("?")[0])
    operation = _described()[0][template].get(method.lower()) if template else None
    if operation is None:
        return
    responses = operation["responses"]
    if str(answer.status) not in responses:
        assert answer.status >= 400, (method, path, answer.status)
        if answer.status != 401 or answer.headers["Content-Type"] != "text/html; charset=utf-8":
            _hold("#/components/schemas/Problem", answer)
        return
    content = responses[str(answer.status)].get("content", {})
    media_type = answer.headers.get("Content-Type", "").partition(";")[0]
    assert not content or media_type in content, (method, path, media_type)
    schema = content.get(media_type, {}).get("schema", {})
    if "$ref" in schema:
        _hold(schema["$ref"], answer)


def _hold(schema: str, answer: Answer) -> None:
    faults = [
        f"{fault.instance_path}: {fault.message}"
        for fault in _validator(schema).iter_errors(answer.json)
    ]
    assert faults == [], (schema, faults)
