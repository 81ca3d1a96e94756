"""JSON of whatever a handler returns: what `json.dumps` or pydantic takes, anywhere inside.

msgspec encodes exact types only. What it does not know is converted, one value at a time; where
that is not enough (keys, large integers), the whole result takes the slow way through Python.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import math
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Set
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any, Final
from uuid import UUID

import msgspec
from pydantic_core import PydanticSerializationError, to_jsonable_python

_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_BUILTIN_ARRAYS: Final = (list, tuple, set, frozenset)
_ARRAYS: Final = (*_BUILTIN_ARRAYS, Set, deque)


class NotFinite(ValueError):
    """NaN or infinity, which JSON does not have."""


def encode(value: Any) -> bytes:
    """Return `value` as JSON. Raises NotFinite, and various errors for what has no JSON form."""
    try:
        if hasattr(value, "__pydantic_serializer__"):
            body: bytes = value.__pydantic_serializer__.to_json(value, fallback=_simpler)
        else:
            body = _encoder.encode(value)
    except RecursionError:
        raise
    except Exception:
        return _slowly(value)
    return finite(body, value)


def finite(body: bytes, value: Any) -> bytes:
    """Return the JSON of `value`; NotFinite if a NaN or infinity was in it.

    Both encoders write these as null, and pydantic can be set to write them.
    """
    # Not `in`, which makes and drops an exception for each look: a twentieth of what a job costs.
    if body.find(b"null") >= 0 and _has_nan(value):
        raise NotFinite
    if body.find(b"NaN") >= 0 or body.find(b"Infinity") >= 0:
        msgspec.json.decode(body)
    return body


def _slowly(value: Any) -> bytes:
    simple = _simple(value)
    try:
        return json.dumps(
            simple, allow_nan=False, ensure_ascii=False, separators=(",", ":")
        ).encode()
    except UnicodeEncodeError:
        raise
    except ValueError as error:
        raise NotFinite from error


def _simple(value: Any) -> Any:
    """Return `value` in types that the json module takes."""
    if type(value) in _SCALARS:
        return value
    if isinstance(value, Mapping):
        simple = {_key(key): _simple(each) for key, each in value.items()}
        if len(simple) < len(value):
            raise TypeError("two keys of an object have the same JSON form")
        return simple
    if isinstance(value, _ARRAYS):
        return [_simple(each) for each in value]
    return _simple(_simpler(value))


def _key(key: Any) -> Any:
    """Return the key of an object in a type that the json module takes; of tuples pydantic's."""
    simple = _simple(key)
    if isinstance(simple, list | dict):
        return next(iter(to_jsonable_python({key: None})))
    return simple


def _simpler(value: Any) -> Any:
    """Return a value of an exact type for one of a subclass, or of a type that msgspec has not."""
    if type(value) in _SCALARS or type(value) in _BUILTIN_ARRAYS:
        raise TypeError(f"a key of type {type(value).__name__} has no JSON form")
    if hasattr(value, "__pydantic_serializer__"):
        return value.__pydantic_serializer__.to_python(value, mode="json", fallback=_simpler)
    if isinstance(value, Enum):
        return value.value
    for exact, convert in _EXACT.items():
        if isinstance(value, exact):
            return convert(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, _ARRAYS):
        return list(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value, enc_hook=_simpler)
    if not isinstance(value, Iterator):
        try:
            return to_jsonable_python(value)
        except PydanticSerializationError:
            pass
    raise NotImplementedError(f"objects of type {type(value).__name__} have no JSON form")


def _datetime(value: datetime) -> Any:
    exact = datetime.combine(datetime.date(value), datetime.timetz(value))
    return msgspec.to_builtins(exact)


def _time(value: time) -> Any:
    parts = value.hour, value.minute, value.second, value.microsecond
    return msgspec.to_builtins(time(*parts, tzinfo=value.tzinfo))


_AS_TEXT: Final[tuple[Any, ...]] = (
    *(Decimal, UUID),
    # Not of every pydantic from 2.11 on. Interfaces before addresses, of which they are subclasses.
    *(Fraction, ipaddress.IPv4Interface, ipaddress.IPv4Address, ipaddress.IPv4Network),
    *(ipaddress.IPv6Interface, ipaddress.IPv6Address, ipaddress.IPv6Network),
)
_EXACT: Final[dict[type, Callable[[Any], Any]]] = {
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    **dict.fromkeys((bytes, bytearray, memoryview), lambda value: b64encode(value).decode()),
    datetime: _datetime,  # before date, of which it is a subclass
    date: date.isoformat,
    time: _time,
    timedelta: lambda value: msgspec.to_builtins(
        timedelta(value.days, value.seconds, value.microseconds)
    ),
    **{each: each.__str__ for each in _AS_TEXT},
}
"""Types with subclasses in libraries; overridden methods of the subclasses are not called."""
_encoder: Final = msgspec.json.Encoder(enc_hook=_simpler)


def _has_nan(value: Any) -> bool:
    """Return whether a NaN or infinity is inside; the value was encoded, so it has no cycles."""
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, Mapping):
        return any(_has_nan(each) for each in value.values())
    if isinstance(value, _ARRAYS):
        return any(_has_nan(each) for each in value)
    if hasattr(value, "__pydantic_serializer__"):
        return _has_nan(value.__pydantic_serializer__.to_python(value))
    fields = getattr(value, "__struct_fields__", None) or getattr(
        value, "__dataclass_fields__", None
    )
    return any(_has_nan(getattr(value, name)) for name in fields or ())
