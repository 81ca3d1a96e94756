"""Results encoded as the type that a handler says it returns: what the route's schema describes.

A model is written by its aliases, and only with the fields of the annotated class.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import pydantic

from asyncendpoints_core.errors import UsageError
from asyncendpoints_worker.handlers import json_results
from asyncendpoints_worker.handlers.annotations import alternatives, uses_struct
from asyncendpoints_worker.handlers.bodies import adapter, faults_of, struct_fault
from asyncendpoints_worker.handlers.results import InvalidResult, Result, as_returned, json_of
from asyncendpoints_worker.handlers.signature import return_hint

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints_worker.handlers.registry import Declaration
    from asyncendpoints_worker.handlers.results import Plain


def is_free(annotation: Any) -> bool:
    """Return whether results of this type are encoded as they are: text, bytes, anything."""
    kinds = alternatives(annotation)
    return any(kind in (Any, object, bytes, Result) for kind in kinds) or kinds == (str,)


def by_annotation(declared: Declaration) -> Plain:
    """Return what encodes the results of a handler. Raises UsageError with its location."""
    try:
        annotation = return_hint(declared.function)
        if is_free(annotation):
            return as_returned
        encoder = _struct_encoder(annotation) if uses_struct(annotation) else _encoder(annotation)
    except UsageError as error:
        raise UsageError(f'handler "{declared.name}" ({declared.location}): {error}') from error
    return partial(json_of, encoder=encoder)


def _encoder(annotation: Any) -> Callable[[Any], bytes]:
    found = adapter(annotation, "return")

    def encode(value: Any) -> bytes:
        try:
            checked = found.validate_python(
                value, from_attributes=True, by_alias=True, by_name=True
            )
        except pydantic.ValidationError as error:
            raise InvalidResult(f"the result is not as annotated: {faults_of(error)}") from None
        return json_results.finite(found.dump_json(checked, by_alias=True), checked)

    return encode


def _struct_encoder(annotation: Any) -> Callable[[Any], bytes]:
    def encode(value: Any) -> bytes:
        try:
            checked = msgspec.convert(value, annotation, from_attributes=True)
        except msgspec.ValidationError as error:
            raise InvalidResult(f"the result is not as annotated: {struct_fault(error)}") from None
        return json_results.finite(msgspec.json.encode(checked), checked)

    try:
        msgspec.json.Decoder(annotation)
    except TypeError as error:
        raise UsageError(f"its return annotation cannot be validated: {error}") from error
    return encode
