"""Python's readers and packers of the layouts in record_layout.py and message_layout.py.

Like a dataclass's methods they are written as source, once: a claim reads hundreds of records, and
a loop over the table for each would cost as much as everything else of it.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_core.errors import StoreVersionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from asyncendpoints_core.store.layout_fields import Field, Layout

# Struct has no numbers of 3, 5, 6 or 7 bytes: they are read as two or three.
_CODES: Final = {1: "B", 2: "H", 3: "BH", 4: "I", 5: "BI", 6: "HI", 7: "BHI", 8: "Q"}
_WIDTHS: Final = {"B": 1, "H": 2, "I": 4, "Q": 8}


class CorruptRecord(Exception):
    """Bytes that are not a record."""


class NewerRecord(StoreVersionError):
    """One record is of a newer version: it is left alone, and the store's others are served."""


def struct_of(fields: Iterable[Field], wanted: frozenset[str] | None = None) -> Struct:
    """Return the struct of fields, those that are not `wanted` passed over."""
    return Struct(">" + "".join(_code(field, wanted) for field in fields))


def reader(layout: Layout, wanted: str) -> Callable[..., tuple[Any, ...]]:
    """Return a function of the bytes and a position in them (0) that returns the `wanted` values.

    They are named as in the layout: a number, a flag, an optional field (None without it), a part
    or the tail as bytes, or `end`, the position after the parts. The function raises struct.error
    or CorruptRecord for bytes that are too short.
    """
    names = wanted.split()
    needed = needed_fields(layout, names)
    fixed = [field for field in layout.fields if field.name in needed]
    scope: dict[str, object] = {
        "unpack": struct_of(layout.fields, needed).unpack_from,
        "CorruptRecord": CorruptRecord,
    }
    lines = [f"({', '.join(_pieces(fixed))},) = unpack(data, at)", *_whole(fixed)]
    lines.append(f"at += {layout.size}")
    lines += _optional_lines(layout, needed, scope)
    for of in dict.fromkeys(bits.of for bits in layout.bits if bits.of in needed):
        lines.append(f"if {_flags(layout, of)} & {layout.spare(of)}: raise CorruptRecord")
    for bits in layout.bits:
        value = _flags(layout, bits.of)
        if bits.name in names and bits.count == 1:
            lines.append(f"{bits.name} = {value} & {bits.mask} != 0")
        elif bits.name in names:
            lines.append(f"{bits.name} = {value} >> {bits.at} & {bits.mask >> bits.at}")
    lines += _part_lines(layout, names)
    read: Callable[..., tuple[Any, ...]] = _compile(
        "read", "data, at=0", [*lines, f"return {', '.join(names)},"], scope
    )
    return read


def needed_fields(layout: Layout, names: Iterable[str]) -> frozenset[str]:
    """Return the fields that must be read for the values `names`."""
    wanted = set(names)
    if wanted & {"end", layout.tail, *(part.name for part in layout.parts)}:
        wanted |= {part.size for part in layout.parts}
        wanted |= {entry.field.name for entry in layout.optional}
    flags = {bits.name: bits.of for bits in layout.bits}
    wanted |= {flags[name] for name in wanted if name in flags}
    # From the last: a flag may itself be in an optional field.
    for entry in reversed(layout.optional):
        if entry.field.name in wanted:
            wanted.add(flags[entry.flag])
    return frozenset(wanted)


def _flags(layout: Layout, of: str) -> str:
    """Return the value of a flags field, 0 where it is optional and absent."""
    return of if of in {field.name for field in layout.fields} else f"({of} or 0)"


def _optional_lines(layout: Layout, needed: frozenset[str], scope: dict[str, object]) -> list[str]:
    wanted = [entry for entry in layout.optional if entry.field.name in needed]
    if not wanted:
        return []
    flags = {bits.name: bits for bits in layout.bits}
    lines = [" = ".join([*(entry.field.name for entry in wanted), "None"])]
    # Most records have none of them: one look then.
    first = flags[wanted[0].flag].of
    any_of = sum({flags[entry.flag].mask for entry in wanted if flags[entry.flag].of == first})
    lines.append(f"if {first} & {any_of}:")
    for entry in wanted:
        name, bits = entry.field.name, flags[entry.flag]
        scope[f"unpack_{name}"] = struct_of([entry.field]).unpack_from
        lines += [
            f"    if {_flags(layout, bits.of)} & {bits.mask}:",
            f"        ({', '.join(_pieces([entry.field]))},) = unpack_{name}(data, at)",
            *(f"        {line}" for line in _whole([entry.field])),
            f"        at += {entry.field.width}",
        ]
    return lines


def _part_lines(layout: Layout, names: list[str]) -> list[str]:
    if not {"end", layout.tail, *(part.name for part in layout.parts)} & set(names):
        return []
    optional = {entry.field.name for entry in layout.optional}
    lines = ["end = at"]
    for part in layout.parts:
        size = f"({part.size} or 0)" if part.size in optional else part.size
        if part.name in names:
            lines += ["at = end", f"end += {size}", f"{part.name} = data[at:end]"]
        else:
            lines.append(f"end += {size}")
    lines.append("if end > len(data): raise CorruptRecord")
    lines += [f"{layout.tail} = data[end:]"] if layout.tail in names else []
    return lines


def packer(layout: Layout, given: str) -> Callable[..., bytes]:
    """Return a function of the `given` values that returns the fixed fields."""
    struct = struct_of(layout.fields)
    names = given.split()
    if names == _pieces(layout.fields):
        return struct.pack  # in this order already: no call of a function between
    pack: Callable[..., bytes] = _compile(
        "pack",
        ", ".join(names),
        [f"return pack_fields({_packed(layout)})"],
        {"pack_fields": struct.pack},
    )
    return pack


def encode_optional(layout: Layout, values: Mapping[str, Any]) -> bytes:
    """Return a record of optional fields, parts and flags alone, for what is seldom written.

    `values` are numbers, bytes and booleans by name; None, no bytes and False are absent.
    """
    known: dict[str, Any] = {
        part.size: len(values[part.name]) for part in layout.parts if values.get(part.name)
    }
    known |= {name: value for name, value in values.items() if value is not None}
    flags = {bits.name: bits for bits in layout.bits}
    numbers = {field.name: 0 for field in layout.fields}
    for bits in layout.bits:
        numbers[bits.of] |= known.get(bits.name, 0) << bits.at
    pieces: list[bytes] = []
    for entry in layout.optional:
        if (value := known.get(entry.field.name)) is not None:
            numbers[flags[entry.flag].of] |= flags[entry.flag].mask
            width = entry.field.width
            pieces.append(value if entry.field.kind == "bytes" else value.to_bytes(width, "big"))
    fixed = [numbers[field.name].to_bytes(field.width, "big") for field in layout.fields]
    return b"".join([*fixed, *pieces, *(values.get(part.name, b"") for part in layout.parts)])


def arranger(layout: Layout, given: str) -> Callable[..., tuple[bytes, ...]]:
    """Return a function of the `given` parts, and tail, that returns them in the layout's order."""
    names = [name for name in (*(part.name for part in layout.parts), layout.tail) if name]
    arrange: Callable[..., tuple[bytes, ...]] = _compile(
        "arrange", ", ".join(given.split()), [f"return ({', '.join(names)},)"], {}
    )
    return arrange


def _code(field: Field, wanted: frozenset[str] | None) -> str:
    if wanted is not None and field.name not in wanted:
        return f"{field.width}x"
    if field.kind == "bytes":
        return f"{field.width}s"
    return "d" if field.kind == "float" else _CODES[field.width]


def _codes(field: Field) -> str:
    return _CODES[field.width] if field.kind == "number" else "s"


def _pieces(fields: Iterable[Field]) -> list[str]:
    """Return the names under which struct's values are kept: several for some widths."""
    names: list[str] = []
    for field in fields:
        count = len(_codes(field))
        names += [field.name] if count == 1 else [f"{field.name}_{i}" for i in range(count)]
    return names


def _shifts(field: Field) -> list[int]:
    """Return how far each piece of a number is shifted."""
    if field.kind != "number":
        return [0]
    widths = [_WIDTHS[code] for code in _codes(field)]
    return [8 * sum(widths[i + 1 :]) for i in range(len(widths))]


def _whole(fields: Iterable[Field]) -> list[str]:
    """Return the lines that put numbers together that are read in several pieces."""
    lines = []
    for field in fields:
        shifts = _shifts(field)
        if len(shifts) > 1:
            high = [f"{field.name}_{i} << {shift} | " for i, shift in enumerate(shifts[:-1])]
            lines.append(f"{field.name} = {''.join(high)}{field.name}_{len(shifts) - 1}")
    return lines


def _packed(layout: Layout) -> str:
    """Return the arguments of a struct's pack."""
    values: list[str] = []
    for field in layout.fields:
        if len(_codes(field)) == 1:
            values.append(field.name)
        else:
            masks = [(1 << 8 * _WIDTHS[code]) - 1 for code in _codes(field)]
            values += [
                f"({field.name} >> {s} & {m})" for s, m in zip(_shifts(field), masks, strict=True)
            ]
    return ", ".join(values)


def _compile(name: str, arguments: str, lines: list[str], scope: dict[str, Any]) -> Any:
    source = "\n    ".join([f"def {name}({arguments}):", *lines])
    exec(source, scope)  # noqa: S102 - made of a table of this package
    return scope[name]
