"""JSON Schemas of what handlers take and return, made from their annotations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from pydantic.json_schema import GenerateJsonSchema

from asyncendpoints_core.errors import SchemaError, UsageError
from asyncendpoints_core.resource.schemas import Pointer, compile_schema
from asyncendpoints_worker.handlers.annotations import alternatives, uses_struct
from asyncendpoints_worker.handlers.bodies import adapter
from asyncendpoints_worker.handlers.results import BYTES, TEXT, Result
from asyncendpoints_worker.handlers.typed_results import is_free

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import core_schema

Mode = Literal["validation", "serialization"]


class _LinearPatterns(GenerateJsonSchema):
    """pydantic's schemas without its own look-around patterns, which gateways refuse."""

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """Return the schema of a decimal number without a pattern for its text."""
        found = super().decimal_schema(schema)
        for each in (found, *found.get("anyOf", ())):
            each.pop("pattern", None)
        return found


@dataclass(frozen=True, slots=True)
class Described:
    """The schema of a type (None: any), and the media type of results that are not JSON."""

    schema: dict[str, Any] | None
    content_type: str = ""


def body_schema(annotation: Any) -> dict[str, Any] | None:
    """Return the schema of bodies of a type; None for text, bytes and any JSON.

    Raises UsageError that names the model and the field of what cannot be used.
    """
    kinds = alternatives(annotation)
    if any(kind in (Any, object, str, bytes) for kind in kinds):
        return None
    return _schema(annotation, "validation", "body")


def result_of(annotation: Any, *, by_alias: bool = True) -> Described | None:
    """Describe results of a type; None if anything may be returned. Raises UsageError.

    `by_alias`: as results of code-first handlers are encoded; those of `@handler` use field names.
    """
    kinds = alternatives(annotation)
    if annotation in (str, bytes):
        return Described(None, TEXT if kinds == (str,) else BYTES)
    if is_free(annotation) or Result in kinds:
        return None
    return Described(_schema(annotation, "serialization", "return", by_alias=by_alias))


def _schema(annotation: Any, mode: Mode, what: str, *, by_alias: bool = True) -> dict[str, Any]:
    found: dict[str, Any]
    try:
        if uses_struct(annotation):
            found = msgspec.json.schema(annotation)
        else:
            found = adapter(annotation, what).json_schema(
                by_alias=by_alias, mode=mode, schema_generator=_LinearPatterns
            )
    except UsageError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(f"its {what} annotation has no JSON Schema: {reason}") from error
    try:
        compile_schema(found)
    except SchemaError as error:
        path, message = error.faults[0]
        raise UsageError(
            f"the schema of its {what} annotation: {_field(found, path)} {message}"
        ) from error
    return found


def _field(schema: dict[str, Any], path: Pointer) -> str:
    """Return a place in a schema as `Model.field`."""
    model, rest = str(schema.get("title", "it")), list(path)
    fields: list[str] = []
    while rest:
        step = rest.pop(0)
        if step == "$defs" and rest:
            model, fields = str(rest.pop(0)), []
        elif step == "properties" and rest:
            fields.append(str(rest.pop(0)))
    return ".".join([model, *fields])
