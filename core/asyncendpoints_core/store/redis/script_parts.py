"""How a script has its parts of lua/lib: only what it uses of each, in few functions.

To make a function or a table, and to collect it as garbage, is most of what a short call costs.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MAX_UPVALUES: Final = 60
"""How many variables around it a function may use, in Lua 5.1."""

LAZY: Final = """local on_use = {__index = function(part, name)
  part.made = part.made or part.make()
  return part.made[name]
end}
local function nothing() return 0 end
"""
_LOCAL = re.compile(r"^local (?:function )?([\w, ]+)", re.MULTILINE)
_WORD = re.compile(r"\w+")
# A variable, or a field of one.
_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?:\.\w+)?")
# A variable that is passed, assigned, listed or returned.
_VALUE = re.compile(r"(?:(?<=[=(,{])|(?<=\breturn)) *(\w+)(?= *[,)}\n])")
_FUNCTION = re.compile(r"^(?:local function (\w+)|function (\w+\.\w+))\(.*?^end\n", re.M | re.S)


class _Piece(NamedTuple):
    """A function of a part, by its name, or with none what is between them."""

    function: str
    text: str
    # How often it has each variable, and each field of one.
    names: Counter[str]


@cache
def _pieces(part: str) -> tuple[_Piece, ...]:
    found, at = list[_Piece](), 0
    for match in _FUNCTION.finditer(part):
        found.append(_piece("", part[at : match.start()]))
        found.append(_piece(match[1] or match[2], match[0]))
        at = match.end()
    return (*found, _piece("", part[at:]))


def _piece(function: str, text: str) -> _Piece:
    return _Piece(function, text, Counter(_NAME.findall(text)))


@cache
def _handed_on(text: str) -> frozenset[str]:
    return frozenset(_VALUE.findall(text))


def prune(parts: Mapping[str, str], body: str) -> dict[str, str]:
    """Return the texts of parts without the functions that neither they nor `body` name."""
    ends = {name: f"return {name}\n" for name in parts}
    texts = {name: text.removesuffix(ends[name]) for name, text in parts.items()}
    # Who uses which of their functions is not known.
    handed_on = frozenset[str]().union(*map(_handed_on, (*texts.values(), body)))
    kept = {name: list(_pieces(text)) for name, text in texts.items()}
    everywhere = Counter[str]()
    for piece in (*(piece for each in kept.values() for piece in each), *_pieces(body)):
        everywhere.update(piece.names)
    candidates = [
        each
        for name, each in kept.items()
        # One that is a function itself is used by all that have it.
        if name not in handed_on and not any(one.function == name for one in each)
    ]
    while any([_drop_unused(each, everywhere) for each in candidates]):  # of all parts
        pass
    return {name: "".join(one.text for one in each) + ends[name] for name, each in kept.items()}


def _drop_unused(pieces: list[_Piece], everywhere: Counter[str]) -> bool:
    """Drop the functions that nothing else names; return whether there were any."""
    unused = [
        piece
        for piece in pieces
        if piece.function
        and piece.names[piece.function]
        == (
            everywhere[piece.function]
            if "." in piece.function
            else sum(each.names[piece.function] for each in pieces)
        )
    ]
    for piece in unused:
        everywhere.subtract(piece.names)
        pieces.remove(piece)
    return bool(unused)


def define(name: str, text: str, lazy: Sequence[str] | None, condition: str) -> str:
    """Return the lines that make a part, or have it made when it is first used.

    `lazy`: the functions that do nothing until then; None for a part that is made at once.
    """
    if lazy is not None:
        none_yet = "".join(f", {function} = nothing" for function in lazy)
        made = (
            f"setmetatable({{made = false, make = function()\n"
            f"{name} = (function()\n{sized(name, text)}end)()\n"
            f"return {name}\nend{none_yet}}}, on_use)"
        )
        return f"{name} = {condition} and {made} or nil\n" if condition else f"{name} = {made}\n"
    # Not in a function of its own: its locals end with the block.
    declared = rf"^local (?=(?:function )?{name}\b)"
    block = re.sub(declared, "", sized(name, text).removesuffix(f"return {name}\n"), flags=re.M)
    return f"if {condition} then\n{block}end\n" if condition else f"do\n{block}end\n"


def sized(name: str, text: str) -> str:
    """Return a part whose table has the room for its functions from the beginning."""
    functions = re.findall(rf"^function {name}\.(\w+)\(", text, re.M)
    if len(functions) < 2:
        return text
    places = ", ".join(f"{function} = false" for function in functions)
    return re.sub(
        rf"^local {name} = {{(?=(\}}?))",
        lambda match: match[0] + places + ("" if match[1] else ", "),
        text,
        count=1,
        flags=re.M,
    )


def compose(first: str, inner: str, parts: Mapping[str, str], body: str) -> str:
    """Return a script: its first lines, which may declare more than a function may use of what is
    around it, then what is `inner`, the parts, and its own lines.
    """
    outer = [name for line in _LOCAL.findall(first) for name in _WORD.findall(line)]
    used = set(_WORD.findall("".join([inner, *parts.values(), body])))
    found = [name for name in outer if name in used]
    if parts and len(found) <= MAX_UPVALUES:
        named = f"if false then local _ = {', '.join(found)} end\n"
        local = f"local {', '.join(parts)}\n"
        return "".join(
            [first, "return (function()\n", named, inner, local, *parts.values(), body, "end)()\n"]
        )
    names = [*outer, *(name for line in _LOCAL.findall(inner) for name in _WORD.findall(line))]
    return "".join([first, inner, *together(parts, names), body])


def together(parts: Mapping[str, str], names: Sequence[str]) -> Iterator[str]:
    """Yield the lines that make parts. `names`: the locals of the script before them.

    Several are made inside one function. To find a local of the script, Lua goes through all that
    were found before and are declared later; so they are named once, in their order. What the
    function around another has found costs that nothing.
    """
    order = {name: at for at, name in enumerate((*names, *parts))}
    groups = list[tuple[list[str], set[str]]]()
    for part in parts.values():
        used = order.keys() & set(_WORD.findall(part))
        if not groups or len(groups[-1][1] | used) > MAX_UPVALUES:
            groups.append(([], set()))
        groups[-1][0].append(part)
        groups[-1][1].update(used)
    if parts:
        yield f"local {', '.join(parts)}\n"
    for made, found in groups:
        inside = ", ".join(sorted(found, key=order.__getitem__))
        yield f"(function()\nif false then local _ = {inside} end\n{''.join(made)}end)();\n"
