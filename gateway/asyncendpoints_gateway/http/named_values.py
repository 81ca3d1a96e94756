"""Values of a request that a route names: param:NAME, header:NAME, pointer:/a/b."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import UNSET

from asyncendpoints_core.errors import MalformedBody
from asyncendpoints_core.resource.schedules import MAX_KEY_BYTES
from asyncendpoints_core.resource.schemas import parse_json
from asyncendpoints_gateway.http.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncendpoints_core.jobs.records import Request

    Pointed = Mapping[str, msgspec.Raw]
    """Values of a body by pointer, as JSON with sorted names; without those that it lacks."""

_MAX_KEY_JSON: Final = 6 * MAX_KEY_BYTES + 2
"""Bytes of the longest key as JSON, with each byte escaped."""


def source_of(named: str) -> tuple[str, str]:
    """Return the kind and the name in a route's `kind:name`."""
    kind, _, name = named.partition(":")
    return kind, name


def named_value(request: Request, kind: str, name: str, pointed: Pointed | None) -> Any:
    """Return a parameter or header as text, a value of the JSON body as it is; else UNSET.

    `pointed`: the values of a large body, which takes long to parse.
    """
    if kind == "param":
        return request.route_params[name]
    if kind == "header":
        return request.headers.get(name.lower(), UNSET)
    if pointed is not None:
        return pointed.get(name, UNSET)
    try:
        return resolve(parse_json(request.body), name)
    except MalformedBody:
        return UNSET


def resolve(value: Any, pointer: str) -> Any:
    """Return the value in `value` that a JSON pointer (RFC 6901) names, UNSET if there is none."""
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list) and key.isdecimal() and len(key) <= len(str(len(value))):
            at = int(key)
            if key != str(at) or at >= len(value):
                return UNSET
            value = value[at]
        elif isinstance(value, dict) and key in value:
            value = value[key]
        else:
            return UNSET
    return value


def key_of(request: Request, source: tuple[str, str], pointed: Pointed | None = None) -> str:
    """Return the key of a request, "" without one. Raises Problem if it cannot be one.

    `pointed`: see named_value.
    """
    value = named_value(request, *source, pointed)
    if isinstance(value, msgspec.Raw):
        if len(bytes(value)) > _MAX_KEY_JSON:
            raise _invalid_key(source, f"a string or number of at most {MAX_KEY_BYTES} bytes")
        value = msgspec.json.decode(value)
    if value is UNSET or value is None:
        return ""
    if isinstance(value, list | dict):
        raise _invalid_key(source, "a string or a number")
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if len(text.encode()) > MAX_KEY_BYTES or any(_is_control(character) for character in text):
        raise _invalid_key(source, f"at most {MAX_KEY_BYTES} bytes without control characters")
    return text


def _is_control(character: str) -> bool:
    return character < " " or "\x7f" <= character < "\xa0"


def _invalid_key(source: tuple[str, str], expected: str) -> Problem:
    return Problem("invalid-key", f"{':'.join(source)} must be {expected}: it is the job's key")
