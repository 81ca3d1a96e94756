"""The fields of the resource as data: for faults that say where one belongs, and for the docs."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, get_args

from asyncendpoints_core.resource.base import Record, alias_of
from asyncendpoints_core.resource.model import AsyncEndpoint, Metadata

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from asyncendpoints_core.common.faults import Location


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its path (`spec.routes[].path`), the record it is in, and what it holds."""

    path: str
    owner: type[Record]
    info: "FieldInfo"
    record: type[Record] | None

    @property
    def name(self) -> str:
        """The field's own name, the last step of its path."""
        return self.path.removesuffix("[]").rpartition(".")[2]


def record_in(annotation: Any) -> type[Record] | None:
    """Return the record that a field's annotation is, or is a list of, or None."""
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return annotation
    found = (record_in(argument) for argument in get_args(annotation))
    return next((record for record in found if record is not None), None)


def is_list(annotation: Any) -> bool:
    """Tell whether a field's annotation is a list (a tuple in Python)."""
    if getattr(annotation, "__origin__", None) is tuple:
        return True
    return any(is_list(argument) for argument in get_args(annotation))


def field_of(record: type[Record], step: str) -> tuple[str, "FieldInfo"] | None:
    """Find a field by the resource's name or by its attribute; return the former and the field."""
    for attribute, info in record.model_fields.items():
        if step in (attribute, alias_of(attribute)):
            return alias_of(attribute), info
    return None


def names_of(record: type[Record]) -> list[str]:
    """Return the names of a record's fields, as the resource writes them."""
    return [alias_of(attribute) for attribute in record.model_fields]


def resolve(location: "Location") -> tuple["Location", list[type[Record] | None]]:
    """Write a location with the resource's names, and say which record each of its steps is in."""
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
    yield from _walk(Metadata, "metadata")
    yield from _walk(AsyncEndpoint.model_fields["spec"].annotation, "spec")


def _walk(record: Any, path: str) -> Iterator[Field]:
    # What a record says of itself comes before what it shares with others (PodOptions).
    own = [name for name in record.__annotations__ if name in record.model_fields]
    for attribute in dict.fromkeys([*own, *record.model_fields]):
        info = record.model_fields[attribute]
        below = record_in(info.annotation)
        place = f"{path}.{alias_of(attribute)}" + ("[]" if is_list(info.annotation) else "")
        yield Field(place, record, info, below)
        if below is not None:
            yield from _walk(below, place)


@cache
def homes(name: str) -> tuple[str, ...]:
    """Return the paths of the records that have a field called `name`, the shortest first."""
    parents = {f.path.removesuffix("[]").rpartition(".")[0] for f in walk() if f.name == name}
    return tuple(sorted(parents, key=lambda path: (path.count("."), path)))
