"""Sample bodies fit their schemas."""

import re
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints_core.resource.schemas import compile_schema, validate
from asyncendpoints_gateway.openapi.pattern_sample import matching_text
from asyncendpoints_gateway.openapi.samples import sample

NODE: dict[str, Any] = {
    "type": "object",
    "required": ["v"],
    "properties": {
        "v": {"type": "integer", "maximum": -3},
        "kids": {"type": "array", "items": {"$ref": "#/$defs/N"}},
    },
}
SCHEMAS: list[dict[str, Any]] = [
    {},
    {"type": "null"},
    {"type": ["null", "boolean"]},
    {"const": [1]},
    {"enum": ["b", "a"]},
    {"type": "integer", "minimum": 3.5},
    {"type": "integer", "exclusiveMinimum": 5, "multipleOf": 4},
    {"type": "integer", "exclusiveMinimum": 8, "multipleOf": 4},
    {"type": "integer", "maximum": -3, "multipleOf": 2},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5},
    {"type": "number", "exclusiveMaximum": 0},
    {"type": "string", "minLength": 20, "maxLength": 22},
    {"type": "string", "maxLength": 2},
    {"type": "string", "pattern": "^[a-z]{3,9}$", "minLength": 7},
    *(
        {"type": "string", "format": each}
        for each in (
            "date",
            "date-time",
            "duration",
            "email",
            "hostname",
            "idn-email",
            "idn-hostname",
            "ipv4",
            "ipv6",
            "iri",
            "iri-reference",
            "json-pointer",
            "regex",
            "relative-json-pointer",
            "time",
            "uri",
            "uri-reference",
            "uri-template",
            "uuid",
            "int64",
        )
    ),
    {"type": "array", "minItems": 3, "uniqueItems": True, "items": {"enum": ["a", "b", "c"]}},
    {"type": "array", "minItems": 3, "uniqueItems": True, "items": {"type": "integer"}},
    {"type": "array", "minItems": 3, "uniqueItems": True, "items": {"type": "string"}},
    {"type": "array", "maxItems": 0, "items": {"type": "integer"}},
    {"type": "array", "prefixItems": [{"type": "string"}, {"const": 2}], "items": False},
    {"contains": {"type": "integer"}, "minItems": 2},
    {"$ref": "#/$defs/N", "$defs": {"N": NODE}},
    {**NODE, "$defs": {"N": NODE}, "required": ["v", "kids"]},
    {"oneOf": [{"type": "object", "required": ["a"]}, {"type": "object"}]},
    {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
    {
        "allOf": [
            {"required": ["a"], "properties": {"a": {"format": "uuid", "type": "string"}}},
            {"required": ["b"], "properties": {"b": {"type": ["null", "number"]}}},
        ]
    },
    {"minProperties": 2},
    {"type": "object", "minProperties": 3, "properties": {"a": {"type": "string"}}},
    {"type": "object", "required": ["a"], "additionalProperties": {"type": "integer"}},
    {"type": "object", "required": ["a"], "properties": {"a": {"type": "string", "default": 5}}},
    {"type": "object", "properties": {"a": False}},
    {"type": "object", "examples": [{"a": 1}]},
    {"type": "integer", "default": 7},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_a_sample_fits_its_schema(schema: dict[str, Any]) -> None:
    compiled = compile_schema(schema)
    value = sample(compiled)
    assert value is not msgspec.UNSET
    assert validate(compiled, value) == []


def test_examples_and_defaults_are_preferred() -> None:
    assert sample(compile_schema({"type": "integer", "default": 7})) == 7
    found = sample(compile_schema({"properties": {"a": {"examples": ["x"]}, "b": {"const": 1}}}))
    assert found == {"a": "x", "b": 1}


@pytest.mark.parametrize("schema", [{"not": {}}, {"type": "string", "pattern": "\\p{Lu}{3}"}])
def test_without_a_sample_there_is_none(schema: dict[str, Any]) -> None:
    assert sample(compile_schema(schema)) is msgspec.UNSET


PATTERNS = [
    r"^https?://", r"^[A-Z]{2}\d{4}$", r"^(a|b)+c?$", r"^[^@]+@[a-z.]+\.[a-z]{2,}$", r"\S",
    r"(?i)^x{3}$", r"^\+?[0-9]{7,15}$", r"^(?:[01]\d|2[0-3]):[0-5]\d$", r"^$", r"a||b", r"[]a]+?",
    r"^(?P<year>\d{4})-\w*$", r"\Aab{2,}\z",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_text_matches_its_pattern(pattern: str) -> None:
    assert re.search(pattern.replace(r"\z", r"\Z"), matching_text(pattern))
    assert re.search(pattern.replace(r"\z", r"\Z"), matching_text(pattern, 3))


@given(st.text(st.sampled_from("ab()[]{}|*+?.\\^$-,012pdx"), max_size=30))
def test_any_pattern_has_a_text_or_is_refused(pattern: str) -> None:
    with suppress(ValueError):
        assert len(matching_text(pattern)) < 10_000
