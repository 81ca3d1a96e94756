"""The constants of the layout tables in Lua: a script's `layout.…` is replaced when it loads.

The tables are store/record_layout.py and message_layout.py.
`layout.NAME` is a number of the former, `layout.JOB.…` one of these of a layout; F is a fixed
field or a group of them, P a part or the tail, B a Bits:

- `size`: bytes of the fixed fields
- `format`, `format.F`, `width.F`: for struct.pack and struct.unpack; bytes
- `fields`, `fields.F`, `fields(r)`: the names in their order, as locals or as fields of a table
- `at.F`, `last.F`, `offset.F`: the first and the last position, from 1; the first from 0
- `mask.B`, `unit.B`, `most.B`: the bits of a flags field; the lowest of them; the largest value
- `spare.F`: the bits of a flags field that mean nothing yet
- `before.P`, `parts_size`: what the parts before P take, and all; sums of locals named as the sizes
- `join{a, b = x}`: strings that stand for fields, groups or parts, joined in their order
- `optional`, `optional_flags`: what lib/optional.lua reads; the bits of `flags` that announce them
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

from asyncendpoints_core.store import message_layout as messages
from asyncendpoints_core.store import record_layout as tables
from asyncendpoints_core.store.layout_fields import Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from asyncendpoints_core.store.layout_fields import Bits, Field

    Tables: TypeAlias = Mapping[str, Layout]

LAYOUTS: Final[Tables] = {
    name: value
    for module in (tables, messages)
    for name, value in vars(module).items()
    if isinstance(value, Layout)
}
_CONSTANTS: Final = {
    "FORMAT": tables.FORMAT_KIND + tables.PLAIN_VERSION,
    "FORMAT_WITH_ATTRIBUTES": tables.FORMAT_KIND + tables.FORMAT_VERSION,
    "KIND": tables.FORMAT_KIND,
    "VERSION": tables.FORMAT_VERSION,
    "LONG_MARK": tables.LONG_MARK,
}
_USE: Final = re.compile(r"\blayout\.(?:([A-Z][A-Z_]*)\.)?(\w+)(?:\.(\w+)|\((\w+)\)|\{([^{}]*)\})?")
_CODES: Final = {1: "B", 2: "H"}


def expand(text: str, layouts: Tables) -> str:
    """Return a script's text with the constants in it. Raises LookupError, ValueError."""
    return _USE.sub(lambda use: _constant(use, layouts), text)


def _constant(use: re.Match[str], layouts: Tables) -> str:
    of, what, name, record, values = use.groups()
    if of is None:
        return str(_CONSTANTS[what])
    layout = layouts[of]
    if values is not None:
        return _join(layout, values)
    if record is not None:
        return ", ".join(f"{record}.{field.name}" for field in layout.fields)
    if name is None:
        return str(_WHOLE[what](layout))
    if what in _OF_BITS:
        return str(_OF_BITS[what](next(bits for bits in layout.bits if bits.name == name)))
    return str(_NAMED[what](layout, name))


def _format(fields: Iterable[Field]) -> str:
    codes = (
        f"c{field.width}" if field.kind == "bytes" else _CODES.get(field.width, f"I{field.width}")
        for field in fields
    )
    return f"'>{''.join(codes)}'"


def _names(fields: Iterable[Field]) -> str:
    return ", ".join(field.name for field in fields)


def _width(fields: Iterable[Field]) -> int:
    return sum(field.width for field in fields)


def _before(layout: Layout, name: str | None) -> str:
    """Return the sum of the sizes of the parts before one, of all for None or the tail."""
    optional = {entry.field.name for entry in layout.optional}
    sizes = []
    for part in layout.parts:
        if part.name == name:
            break
        sizes.append(f"({part.size} or 0)" if part.size in optional else part.size)
    return f"({' + '.join(sizes)})" if sizes else "0"


def _join(layout: Layout, values: str) -> str:
    """Return `a .. x` for `a, b = x`, in the order of the fields, groups and parts a and b."""
    parts = {part.name: layout.size + i for i, part in enumerate(layout.parts)}
    by_offset: dict[int, str] = {}
    fixed = 0
    for entry in values.strip(" \n,").split(","):
        name, _, value = (word.strip() for word in entry.partition("="))
        fixed += 0 if name in parts else _width(layout.span(name))
        by_offset[parts[name] if name in parts else layout.offset(name)] = value or name
    if fixed not in (0, layout.size):
        raise ValueError(f"join{{{values}}}: not every fixed field")
    return " .. ".join(value for _, value in sorted(by_offset.items()))


def _optional(layout: Layout) -> str:
    """Return the list of optional fields that lib/optional.lua takes."""
    flags = {bits.name: bits for bits in layout.bits}
    entries = (
        f"{{name = '{entry.field.name}', of = '{flags[entry.flag].of}',"
        f" mask = {flags[entry.flag].mask}, width = {entry.field.width},"
        f" format = {_format([entry.field])}}}"
        for entry in layout.optional
    )
    return f"{{{', '.join(entries)}}}"


def _optional_flags(layout: Layout) -> int:
    flags = {entry.flag for entry in layout.optional}
    return sum(bits.mask for bits in layout.bits if bits.name in flags and bits.of == "flags")


_WHOLE: Final[Mapping[str, Callable[[Layout], object]]] = {
    "size": lambda layout: layout.size,
    "format": lambda layout: _format(layout.fields),
    "fields": lambda layout: _names(layout.fields),
    "parts_size": lambda layout: _before(layout, None),
    "optional": _optional,
    "optional_flags": _optional_flags,
}
_NAMED: Final[Mapping[str, Callable[[Layout, str], object]]] = {
    "format": lambda layout, name: _format(layout.span(name)),
    "fields": lambda layout, name: _names(layout.span(name)),
    "width": lambda layout, name: _width(layout.span(name)),
    "offset": lambda layout, name: layout.offset(name),
    "at": lambda layout, name: layout.offset(name) + 1,
    "last": lambda layout, name: layout.offset(name) + _width(layout.span(name)),
    "before": _before,
    "spare": lambda layout, name: layout.spare(name),
}
_OF_BITS: Final[Mapping[str, Callable[[Bits], int]]] = {
    "mask": lambda bits: bits.mask,
    "unit": lambda bits: 1 << bits.at,
    "most": lambda bits: bits.most,
}
