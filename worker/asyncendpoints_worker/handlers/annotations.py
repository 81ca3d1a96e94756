"""What the annotations of handlers stand for: aliases undone, `| None`, the libraries in them.

Imports neither pydantic nor anything that a handler's module does not need.
"""

from __future__ import annotations

import types
import typing
from typing import Annotated, Any

import msgspec


def bare(annotation: Any) -> tuple[Any, bool]:
    """Return what an annotation stands for, and whether pydantic may have more to check.

    That is without Annotated (which may hold constraints), NewType, alias, and type variable.
    """
    checked = False
    while True:
        if typing.get_origin(annotation) is Annotated:
            annotation, checked = typing.get_args(annotation)[0], True
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":  # in `typing` since Python 3.12
            annotation = annotation.__value__
        elif isinstance(annotation, typing.TypeVar) and annotation.__bound__ is not None:
            annotation = annotation.__bound__
        elif isinstance(annotation, typing.TypeVar) and annotation.__constraints__:
            return typing.Union[annotation.__constraints__], checked  # noqa: UP007
        else:
            return annotation, checked


def without_none(annotation: Any) -> tuple[Any, bool]:
    """Return the annotation without its `| None`, and whether it had one."""
    if annotation is None or annotation is type(None):
        return type(None), True
    if not _is_union(annotation):
        return annotation, False
    members = typing.get_args(annotation)
    rest = [each for each in members if each is not type(None)]
    if len(rest) == len(members):
        return annotation, False
    return (rest[0] if len(rest) == 1 else annotation), True


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """Return the bare members of a union without None, or the one bare type."""
    found, _ = bare(annotation)
    if not _is_union(found):
        return (found,)
    members = typing.get_args(found)
    return tuple(bare(each)[0] for each in members if each is not type(None))


def uses_struct(annotation: Any) -> bool:
    """Return whether a msgspec.Struct is named in an annotation, which msgspec then handles."""
    found, _ = bare(annotation)
    origin = typing.get_origin(found)
    if any(isinstance(each, type) and issubclass(each, msgspec.Struct) for each in (found, origin)):
        return True
    return any(uses_struct(each) for each in typing.get_args(found))


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)
