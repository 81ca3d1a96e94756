"""Values of a request that a route names: param:NAME, header:NAME, pointer:/a/b."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from asyncendpoints_core.resource.schedules import MAX_KEY_BYTES
from asyncendpoints_gateway.http.problems import Problem

if TYPE_CHECKING:
    from asyncendpoints_core.jobs.records import Request


def source_of(named: str) -> tuple[str, str]:
    """Return the kind and the name in a route's `kind:name`."""
    kind, _, name = named.partition(":")
    return kind, name


def named_value(request: Request, kind: str, name: str) -> Any:
    """Return a parameter or header as text, a value of the JSON body as it is; else UNSET."""
    if kind == "param":
        return request.route_params[name]
    if kind == "header":
        return request.headers.get(name.lower(), UNSET)
    return _pointed(request.body, name)


def _pointed(body: bytes, pointer: str) -> Any:
    """Return a value of a JSON body (RFC 6901)."""
    try:
        found: Any = msgspec.json.decode(body)
        for step in pointer.split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list):
                if key != str(int(key)):
                    return UNSET
                found = found[int(key)]
            elif isinstance(found, dict):
                found = found[key]
            else:
                return UNSET
    except (msgspec.DecodeError, LookupError, ValueError):
        return UNSET
    return found


def key_of(request: Request, source: tuple[str, str]) -> str:
    """Return the key of a request, "" without one. Raises Problem if it cannot be one."""
    value = named_value(request, *source)
    if value is UNSET or value is None:
        return ""
    if isinstance(value, list | dict):
        raise _invalid_key(source, "a text or a number")
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if len(text.encode()) > MAX_KEY_BYTES or any(_is_control(character) for character in text):
        raise _invalid_key(source, f"at most {MAX_KEY_BYTES} bytes without control characters")
    return text


def _is_control(character: str) -> bool:
    return character < " " or "\x7f" <= character < "\xa0"


def _invalid_key(source: tuple[str, str], expected: str) -> Problem:
    return Problem("invalid-key", f"{':'.join(source)} must be {expected}: it is the job's key")
