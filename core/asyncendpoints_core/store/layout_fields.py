"""What a layout consists of: fixed and optional fields, bits, groups, parts of variable length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Field:
    """A field of `width` bytes: a big-endian unsigned number unless `kind` says otherwise."""

    name: str
    width: int
    kind: Literal["number", "bytes", "float"] = "number"


@dataclass(frozen=True, slots=True)
class Bits:
    """A number in bits `at` and up of the field `of`; one bit is a boolean. `most`: the largest."""

    name: str
    at: int
    count: int = 1
    most: int = 1
    of: str = "flags"

    @property
    def mask(self) -> int:
        """The bits of the field that hold it."""
        return (1 << self.count) - 1 << self.at


@dataclass(frozen=True, slots=True)
class Optional:
    """A field that follows the fixed ones only while the bit `flag` is set.

    One of variable length is the optional field of its size and a Part.
    """

    field: Field
    flag: str


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes as long as the number field `size` says: 0 when that is absent."""

    name: str
    size: str


@dataclass(frozen=True, slots=True)
class Group:
    """Fixed fields that stand together, read, written or copied in one go."""

    name: str
    fields: str


@dataclass(frozen=True, slots=True)
class Layout:
    """Fixed fields, optional ones, parts of variable length and a tail, in this order."""

    fields: tuple[Field, ...]
    groups: tuple[Group, ...] = ()
    bits: tuple[Bits, ...] = ()
    optional: tuple[Optional, ...] = ()
    parts: tuple[Part, ...] = ()
    tail: str = ""

    @property
    def size(self) -> int:
        """The bytes of the fixed fields."""
        return sum(field.width for field in self.fields)

    def span(self, name: str) -> tuple[Field, ...]:
        """Return the fixed field `name`, or the fields of the group of that name."""
        named = {group.name: set(group.fields.split()) for group in self.groups}
        wanted = named.get(name, {name})
        indexes = [i for i, field in enumerate(self.fields) if field.name in wanted]
        if len(indexes) != len(wanted) or indexes[-1] - indexes[0] >= len(wanted):
            raise ValueError(f"{name}: not fields that stand together")
        return self.fields[indexes[0] : indexes[-1] + 1]

    def offset(self, name: str) -> int:
        """Return the position of a fixed field or group, from 0."""
        first = self.fields.index(self.span(name)[0])
        return sum(field.width for field in self.fields[:first])

    def spare(self, of: str) -> int:
        """Return the mask of the bits of a flags field that mean nothing yet."""
        fields = (*self.fields, *(entry.field for entry in self.optional))
        width = next(field.width for field in fields if field.name == of)
        used = sum(bits.mask for bits in self.bits if bits.of == of)
        return (1 << 8 * width) - 1 & ~used
