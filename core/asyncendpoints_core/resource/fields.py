"""The fields of the resource as data: for error messages, the docs, and the part of each role."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, get_args

from asyncendpoints_core.resource.base import Record, Role, alias_of
from asyncendpoints_core.resource.model import AsyncEndpoint, EndpointSpec, Metadata

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from asyncendpoints_core.common.faults import Location


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its path (`spec.routes[].path`), its record, the record in it, and its readers.

    `roles` is empty for a record whose fields have roles of their own.
    """

    path: str
    owner: type[Record]
    info: "FieldInfo"
    record: type[Record] | None
    roles: frozenset[Role]

    @property
    def name(self) -> str:
        """The last step of the path."""
        return self.path.removesuffix("[]").rpartition(".")[2]


def record_in(annotation: Any) -> type[Record] | None:
    """Return the record type in a field's annotation (itself, or of a list's items), or None."""
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return annotation
    found = (record_in(argument) for argument in get_args(annotation))
    return next((record for record in found if record is not None), None)


def is_list(annotation: Any) -> bool:
    """Whether a field's annotation is a list (a tuple in Python)."""
    if getattr(annotation, "__origin__", None) is tuple:
        return True
    return any(is_list(argument) for argument in get_args(annotation))


def field_of(record: type[Record], step: str) -> tuple[str, "FieldInfo"] | None:
    """Find a field by its name in the resource or its attribute; return the name and the field."""
    for attribute, info in record.model_fields.items():
        if step in (attribute, alias_of(attribute)):
            return alias_of(attribute), info
    return None


def names_of(record: type[Record]) -> list[str]:
    """Return the names of a record's fields in the resource."""
    return [alias_of(attribute) for attribute in record.model_fields]


def roles_of(record: type[Record], attribute: str) -> frozenset[Role]:
    """Return who reads a field, by its own mark or that of the class that declares it."""
    found = frozenset(m for m in record.model_fields[attribute].metadata if isinstance(m, Role))
    if found:
        return found
    declared_in = next(
        cls
        for cls in record.__mro__
        if issubclass(cls, Record) and attribute in inspect.get_annotations(cls)
    )
    return frozenset({declared_in.read_by} if declared_in.read_by else ())


def part_for(role: Role, spec: EndpointSpec) -> dict[str, Any]:
    """Return the fields of a spec that a role reads, as a document without default values."""
    document = spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    return _part(role, document, EndpointSpec)


def _part(role: Role, document: Mapping[str, Any], record: type[Record]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for attribute, info in record.model_fields.items():
        name, below = alias_of(attribute), record_in(info.annotation)
        roles = roles_of(record, attribute)
        if name not in document or (roles and role not in roles):
            continue
        value = document[name]
        if roles or below is None:
            result[name] = value
        elif isinstance(value, list):
            result[name] = [_part(role, item, below) for item in value]
        elif part := _part(role, value, below):
            result[name] = part
    return result


def resolve(location: "Location") -> tuple["Location", list[type[Record] | None]]:
    """Return a location with the resource's names, and the record that each of its steps is in."""
    steps: list[str | int] = []
    owners: list[type[Record] | None] = []
    record: type[Record] | None = AsyncEndpoint
    for step in location:
        owners.append(record)
        if record is not None and isinstance(step, str):
            found = field_of(record, step)
            steps.append(found[0] if found else step)
            record = record_in(found[1].annotation) if found else None
        else:
            steps.append(step)
    return tuple(steps), owners


def walk() -> Iterator[Field]:
    """Yield every field of the resource below metadata and spec, parents first."""
    unmarked: frozenset[Role] = frozenset()
    yield from _walk(Metadata, "metadata", unmarked)
    yield from _walk(EndpointSpec, "spec", unmarked)


def _walk(record: type[Record], path: str, inherited: frozenset[Role]) -> Iterator[Field]:
    # The fields that a record declares come before those of its base class (PodOptions).
    own = [name for name in inspect.get_annotations(record) if name in record.model_fields]
    for attribute in dict.fromkeys([*own, *record.model_fields]):
        info = record.model_fields[attribute]
        below = record_in(info.annotation)
        roles = inherited or roles_of(record, attribute)
        child = f"{path}.{alias_of(attribute)}" + ("[]" if is_list(info.annotation) else "")
        yield Field(child, record, info, below, roles)
        if below is not None:
            yield from _walk(below, child, roles)


@cache
def homes(name: str) -> tuple[str, ...]:
    """Return the paths of the records that have a field of that name, the shortest first."""
    parents = {f.path.removesuffix("[]").rpartition(".")[0] for f in walk() if f.name == name}
    return tuple(sorted(parents, key=lambda path: (path.count("."), path)))
