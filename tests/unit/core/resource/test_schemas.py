"""Strict JSON parsing, and JSON Schemas: what is refused, and what a failed validation says."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints_core.errors import MalformedBody, SchemaError
from asyncendpoints_core.resource.schema_cost import MAX_IN_PLACE, lookup, measure
from asyncendpoints_core.resource.schemas import MAX_ERRORS, compile_schema, parse_json, validate

GOOD_JSON: list[tuple[bytes, Any]] = [
    (b"null", None),
    (b" [1, 2.5, -0, 1e3] \n", [1, 2.5, 0, 1000.0]),
    (b'{"a":1,"a":2}', {"a": 2}),  # the last one counts, as in Python's json
    (b'"\\ud83d\\ude00"', "😀"),
    ('"é\u2028"'.encode(), "é\u2028"),
    (b'"\\u0000"', "\0"),
    (b"123456789012345678901234567890", 123456789012345678901234567890),
    (b"[" * 100 + b"]" * 100, json.loads("[" * 100 + "]" * 100)),
    (b'["' + b"[{" * 200 + b'"]', ["[{" * 200]),  # brackets in text do not nest
    (b"[" + b"[]," * 500 + b"[]]", [[]] * 501),
]

BAD_JSON = [
    (b"", "not JSON"),
    (b" ", "not JSON"),
    (b"nul", "not JSON"),
    (b"{", "not JSON"),
    (b'{"a":1', "not JSON"),
    (b"[1,]", "not JSON"),
    (b"{'a':1}", "not JSON"),
    (b"1 2", "not JSON"),
    (b"01", "not JSON"),
    (b"1.", "not JSON"),
    (b".5", "not JSON"),
    (b"-", "not JSON"),
    (b"NaN", "not JSON"),
    (b"[Infinity]", "not JSON"),
    (b"-Infinity", "not JSON"),
    (b'"\t"', "not JSON"),
    (b'"\\x"', "not JSON"),
    (b"// x\n1", "not JSON"),
    (b"\xef\xbb\xbf1", "not JSON: it starts with a byte order mark"),
    ("{}".encode("utf-16"), "the body is not JSON: it is UTF-16, not UTF-8"),
    (b"\x0c1", "not JSON"),
    (b'"\\ud800"', "not JSON"),
    (b'{"\\udc00":1}', "not JSON"),
    (b'"\\ud800\\u0041"', "not JSON"),
    (b'"\xff"', "not UTF-8"),
    (b'"\xed\xa0\x80"', "not UTF-8"),
    (b'"\xc0\xaf"', "not UTF-8"),
    ('"a"'.encode("utf-16"), "not JSON"),
    (b"1e400", "out of range"),
    (b"9" * 5000, "out of range"),
    (b"[" * 101 + b"]" * 101, "deeper than 100"),
    (b'{"a":' * 101 + b"1" + b"}" * 101, "deeper than 100"),
    (b"[" * 100_000 + b"]" * 100_000, "deeper than 100"),
]


@pytest.mark.parametrize(("data", "value"), GOOD_JSON)
def test_json_is_taken(data: bytes, value: Any) -> None:
    assert parse_json(data) == value
    assert parse_json(memoryview(data)) == value
    assert parse_json(bytearray(data)) == value


@pytest.mark.parametrize(("data", "reason"), BAD_JSON)
def test_other_bodies_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(MalformedBody, match=reason):
        parse_json(data)


def test_a_refusal_repeats_nothing_of_the_body() -> None:
    for body in (b'{"a": secret}', b'"secret', b'"secret\xff"', b'{"secret": 1e999}'):
        with pytest.raises(MalformedBody) as error:
            parse_json(body)
        assert "secret" not in str(error.value)


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
)  # fmt: skip


@given(JSON)
def test_everything_that_json_writes_is_read(value: Any) -> None:
    assert parse_json(json.dumps(value).encode()) == value


def chain(length: int) -> dict[str, Any]:
    """Each reference leads to two more: 2^length steps for one value."""
    defs: dict[str, Any] = {
        f"a{i}": {"anyOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(length)
    }
    return {"$defs": {**defs, f"a{length}": {"type": "string"}}, "$ref": "#/$defs/a0"}


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"not": schema}
    return schema


BAD_SCHEMAS: list[tuple[dict[Any, Any], tuple[str | int, ...], str]] = [
    ({"type": "objct"}, ("type",), "must be array, boolean"),
    ({"type": ["string", "strin"]}, ("type",), "must be array, boolean"),
    ({"properties": {"a": {"minimum": "1"}}}, ("properties", "a", "minimum"), "of type number"),
    ({"required": "a"}, ("required",), "of type array"),
    ({"required": ["a", "a"]}, ("required",), "duplicate items"),
    ({"items": [{}]}, ("items",), "of type"),
    ({"maxLength": -1}, ("maxLength",), "at least 0"),
    ({"enum": 5}, ("enum",), "of type array"),
    ({"properties": {"a": 5}}, ("properties", "a"), "of type"),
    ({"$schema": "http://json-schema.org/draft-07/schema#"}, ("$schema",), "Draft 2020-12"),
    ({"$schema": 5}, ("$schema",), "Draft 2020-12"),
    ({"$ref": 5}, ("$ref",), "of type string"),
    ({"$ref": "https://x.example/s"}, ("$ref",), "not fetched"),
    ({"items": {"$ref": "other.json"}}, ("items", "$ref"), "not fetched"),
    ({"items": {"$ref": "file:///etc/passwd"}}, ("items", "$ref"), "not fetched"),
    ({"allOf": [{"$ref": "#/$defs/no"}]}, ("allOf", 0, "$ref"), "does not exist in this schema"),
    ({"$ref": "#anchor"}, ("$ref",), "does not exist in this schema"),
    ({"pattern": "(?=a)b"}, ("pattern",), "look-around"),
    ({"pattern": r"(a)\1"}, ("pattern",), "back-references"),
    ({"pattern": "("}, ("pattern",), "regular expression"),
    ({"pattern": "a{1000}{1000}"}, ("pattern",), "regular expression"),
    ({"patternProperties": {"(?!a)": {}}}, ("patternProperties", "(?!a)"), "look-around"),
    (deep(40), (), "at most 32 levels"),
    ({"description": "a" * 70_000}, (), "at most 65536 bytes"),
    ({"const": float("nan")}, (), "must be valid JSON"),
    ({1: {}}, (), "must be valid JSON"),
    ({"const": {1, 2}}, (), "must be valid JSON"),
    (chain(20), (), "multiply"),
]


@pytest.mark.parametrize(("schema", "place", "reason"), BAD_SCHEMAS)
def test_bad_schemas_say_where_and_why(
    schema: dict[str, Any], place: tuple[str | int, ...], reason: str
) -> None:
    with pytest.raises(SchemaError) as error:
        compile_schema(schema)
    assert [p for p, message in error.value.faults if reason in message] == [place], (
        error.value.faults
    )


def test_every_fault_of_a_schema_is_reported() -> None:
    with pytest.raises(SchemaError) as error:
        compile_schema({"type": "x", "properties": {"a": {"type": "y"}, "b": {"minimum": "z"}}})
    assert sorted(place for place, _ in error.value.faults) == [
        ("properties", "a", "type"),
        ("properties", "b", "minimum"),
        ("type",),
    ]


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"$schema": "https://json-schema.org/draft/2020-12/schema"},
        {"$ref": "#"},
        {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {"$id": "https://x.example/s", "$ref": "https://x.example/s#/$defs/a", "$defs": {"a": {}}},
        {"$defs": {"a": {"$anchor": "here"}}, "$ref": "#here"},
        {"$defs": {"a/b ~": {}}, "$ref": "#/$defs/a~1b%20~0"},
        {"properties": {"$ref": {"type": "string"}, "pattern": {"type": "string"}}},
        {"const": {"$ref": "https://x.example/never-a-reference"}},
        {"pattern": "^(a+)+$"},
        {"pattern": r"^\d{4}-\w+$"},
        {"format": "date-time", "x-vendor": [1]},
        chain(8),
    ],
)
def test_good_schemas_compile(schema: dict[str, Any]) -> None:
    compile_schema(schema)


def test_a_schema_is_copied() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}}}
    compiled = compile_schema(schema)
    schema["properties"]["a"]["type"] = "number"
    assert validate(compiled, {"a": "x"}) == []


SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 2, "maxLength": 5, "pattern": "^[a-z]+$"},
        "n": {"type": ["integer", "null"], "minimum": 1, "maximum": 9, "multipleOf": 3},
        "x": {"exclusiveMinimum": 0, "exclusiveMaximum": 1},
        "kind": {"enum": ["a", 1, None]},
        "one": {"const": {"k": 1}},
        "list": {"items": {"type": "string"}, "minItems": 1, "maxItems": 2, "uniqueItems": True},
        "map": {"minProperties": 1, "maxProperties": 1, "propertyNames": {"maxLength": 3}},
        "any": {"anyOf": [{"type": "string"}, {"type": "number"}]},
        "xor": {"oneOf": [{"type": "string"}, {"minLength": 2}]},
        "neg": {"not": {"type": "string"}},
        "no": False,
        "a/b~c é": {"type": "null"},
        "has": {"contains": {"const": 1}},
        "tuple": {"prefixItems": [{}], "unevaluatedItems": False},
        "rest": {"unevaluatedProperties": False},
    },
}

INVALID: list[tuple[Any, str, str]] = [
    ([], "#", "must be of type object"),
    ({}, "#", 'must have property "name"'),
    ({"name": 5}, "#/name", "must be of type string"),
    ({"name": "a"}, "#/name", "must have at least 2 characters"),
    ({"name": "abcdef"}, "#/name", "must have at most 5 characters"),
    ({"name": "AB"}, "#/name", "must match the pattern ^[a-z]+$"),
    ({"n": 0}, "#/n", "must be at least 1"),
    ({"n": 12}, "#/n", "must be at most 9"),
    ({"n": 4}, "#/n", "must be a multiple of 3"),
    ({"n": "secret"}, "#/n", "must be of type integer or null|must be of type null or integer"),
    ({"x": 0}, "#/x", "must be greater than 0"),
    ({"x": 1}, "#/x", "must be less than 1"),
    ({"kind": "b"}, "#/kind", 'must be one of "a", 1, null'),
    ({"one": {}}, "#/one", 'must be {"k": 1}'),
    ({"list": []}, "#/list", "must have at least 1 items"),
    ({"list": ["a", "b", "c"]}, "#/list", "must have at most 2 items"),
    ({"list": ["a", "a"]}, "#/list", "must not have duplicate items"),
    ({"list": ["a", 7]}, "#/list/1", "must be of type string"),
    ({"map": {}}, "#/map", "must have at least 1 properties"),
    ({"map": {"a": 1, "b": 2}}, "#/map", "must have at most 1 properties"),
    ({"map": {"secret": 1}}, "#/map", "has a property whose name is not allowed"),
    ({"any": []}, "#/any", "must match at least one of the allowed forms"),
    ({"xor": "ab"}, "#/xor", "must match exactly one of the allowed forms"),
    ({"neg": "secret"}, "#/neg", "must not have this form"),
    ({"no": "secret"}, "#/no", "is not allowed"),
    ({"a/b~c é": "secret"}, "#/a~1b~0c%20%C3%A9", "must be of type null"),
    ({"has": [2]}, "#/has", "must contain an item of the required form"),
    ({"tuple": [1, 2]}, "#/tuple", "has items that are not allowed"),
    ({"rest": {"q": 1}}, "#/rest", 'must not have property "q"'),
    ({"zz": "secret"}, "#", 'must not have property "zz"'),
]


@pytest.mark.parametrize(("instance", "pointer", "detail"), INVALID)
def test_each_keyword_says_what_it_wants(instance: Any, pointer: str, detail: str) -> None:
    body = {"name": "abc", **instance} if instance and isinstance(instance, dict) else instance
    errors = validate(compile_schema(SCHEMA), body)
    assert len(errors) == 1
    assert errors[0][0] == pointer
    assert errors[0][1] in detail.split("|")


@pytest.mark.parametrize(
    ("format_", "good", "bad"),
    [
        ("date-time", "2026-01-02T03:04:05Z", "2026-01-02 03:04"),
        ("date", "2026-01-02", "2026-02-30"),
        ("time", "03:04:05Z", "25:00:00Z"),
        ("duration", "P1DT2H", "1 day"),
        ("email", "a@example.com", "a"),
        ("hostname", "example.com", "-a"),
        ("ipv4", "10.0.0.1", "10.0.0.256"),
        ("ipv6", "::1", ":::1"),
        ("uuid", "01890a5d-ac96-774b-bcce-b302099a8057", "01890a5d"),
        ("uri", "https://example.com/a", "a b"),
        ("json-pointer", "/a/0", "a"),
        ("regex", "a+", "("),
    ],
)
def test_formats_are_checked(format_: str, good: str, bad: str) -> None:
    compiled = compile_schema(
        {
            "properties": {"a": {"$ref": "#/$defs/F"}},
            "$defs": {"F": {"type": "string", "format": format_}},
        }
    )
    assert validate(compiled, {"a": good}) == []
    assert validate(compiled, {"a": bad}) == [("#/a", f"must be a valid {format_}")]
    assert validate(compile_schema({"format": "int64"}), bad) == []


def test_details_repeat_no_value_of_the_body() -> None:
    compiled = compile_schema(SCHEMA)
    secret = "SECRET"
    body = {key: secret for key in SCHEMA["properties"]} | {
        "name": secret,
        "list": [secret, secret],
    }
    errors = validate(compiled, body)
    assert len(errors) > 5
    assert secret not in repr(errors)


def test_names_of_unwanted_properties_are_shortened() -> None:
    compiled = compile_schema({"additionalProperties": False})
    ((_, detail),) = validate(compiled, {f"{i}" + "x" * 1_000: 1 for i in range(1_000)})
    assert len(detail) < 1_200


def test_valid_bodies_have_no_errors() -> None:
    assert validate(compile_schema(SCHEMA), {"name": "abc", "n": None, "list": ["x"]}) == []


def test_errors_are_bounded_in_number() -> None:
    compiled = compile_schema({"items": {"type": "string"}})
    assert len(validate(compiled, [1] * 1_000)) == MAX_ERRORS
    assert validate(compiled, [1] * 100_000) == [("#/0", "must be of type string")]


RECURSIVE = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"$ref": "#"}},
        {"type": "array", "maxItems": 5, "items": {"$ref": "#"}},
    ]
}


def nested(levels: int, value: Any) -> Any:
    for _ in range(levels):
        value = [value]
    return value


def test_a_deep_body_of_a_recursive_schema_is_refused_without_a_search() -> None:
    # Looking for the place takes 2.5 times as long with each level: hours at 100 of them.
    compiled = compile_schema(RECURSIVE)
    assert validate(compiled, nested(99, "x")) == []
    ((pointer, detail),) = validate(compiled, nested(99, 5))
    assert pointer == "#"
    assert "too deep" in detail
    assert validate(compiled, nested(3, 5)) != []


def test_cost_of_schemas() -> None:
    assert measure({}).in_place == 1
    assert measure(chain(20)).in_place > MAX_IN_PLACE
    assert measure(chain(20)).too_high
    assert not measure(chain(5)).recursive
    assert measure(RECURSIVE).recursive
    assert measure(RECURSIVE).traceable_depth < 20
    assert measure({"items": {"$ref": "#"}}).traceable_depth > 100


def test_a_long_chain_of_references_counts_as_too_much() -> None:
    defs = {f"a{i}": {"$ref": f"#/$defs/a{i + 1}"} for i in range(1_000)}
    assert measure({"$defs": {**defs, "a1000": {}}, "$ref": "#/$defs/a0"}).too_high


def test_wide_trees_of_references_are_measured_below_the_value_too() -> None:
    defs: dict[str, Any] = {
        f"a{i}": {"properties": {k: {"$ref": f"#/$defs/a{i + 1}"} for k in "abcd"}}
        for i in range(12)
    }
    assert measure({"$defs": {**defs, "a12": {}}, "$ref": "#/$defs/a0"}).too_high


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("#", True),
        ("#/a/0/b", True),
        ("#/a/1", False),
        ("#/a/x", False),
        ("x#/a", False),
        ("#/a/0/b/c", False),
    ],
)
def test_lookup_follows_pointers(reference: str, found: bool) -> None:
    assert (lookup({"a": [{"b": 1}]}, reference) is not None) is found
