"""Lua's readers and packers of the layouts in store/record_layout.py: the local `layout`.

A script gets what it and its libraries name as `layout.NAME`, written into its source when it is
loaded (scripts.py). Positions in Lua begin at 1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from asyncendpoints_core.store import record_layout as tables
from asyncendpoints_core.store.redis.python_layout import needed_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from asyncendpoints_core.store.record_layout import Bits, Field, Layout

    Tables: TypeAlias = Mapping[str, Layout]

_T = TypeVar("_T")
_K = TypeVar("_K")

LAYOUTS: Final[Tables] = {
    name: value for name, value in vars(tables).items() if isinstance(value, tables.Layout)
}
_FORMAT: Final = tables.FORMAT_KIND + tables.FORMAT_VERSION
_CODES: Final = {1: "B", 2: "H"}
_NAME = re.compile(r"\blayout\.(\w+)")
_CONSTANT = re.compile(r"\blayout\.([A-Z_]+)\b")
_EXPRESSION = re.compile(r"\blayout\.((?:pack|content)_\w+)\(([^()]*)\)")
_CALL = re.compile(
    r"^( *)local ([\w, \n]+?) =\s+(layout\.)?(\w+)\(((?:[^()]|\([^()]*\))*)\)$", re.MULTILINE
)
# So many fields between two that are wanted are read with them; more, and there are two reads.
_MAX_GAP: Final = 3


@dataclass(frozen=True, slots=True)
class Function:
    """A Lua function: statements, then what it returns. `made`: the function it returns instead."""

    parameters: tuple[str, ...]
    lines: list[str]
    results: list[str]
    made: Function | None = None
    # Whether a call of it may be replaced by its text: it returns at its end only.
    inline: bool = True

    def text(self) -> str:
        """Return it without the word `function` and its name."""
        lines = [*self.lines, f"return {', '.join(self.results)}"]
        body = "".join(f"\n  {line}" for line in lines)
        return f"({', '.join(self.parameters)}){body}\nend"


def expand(text: str, layouts: Tables) -> str:
    """Return a script's text with what it names as `layout.NAME` put in.

    Constants, packers and calls in an assignment to new locals are replaced by their text, as a
    call costs the hot scripts up to a tenth of their time for each job; the rest are functions.
    """
    text = _CONSTANT.sub(lambda match: str(_constant(match[1], layouts)), text)
    text = _EXPRESSION.sub(lambda match: _expression(match, layouts), text)
    made: dict[str, Function] = {}
    text = _CALL.sub(lambda match: _call(match, layouts, made), text)
    used = dict.fromkeys(_NAME.findall(text))
    functions = [f"function layout.{name}{_FUNCTIONS[name](layouts).text()}" for name in used]
    return "\n".join(["local layout = {}", *functions, text]) if functions else text


def _declared(line: str) -> list[str]:
    """Return the locals that a statement declares."""
    match = re.match(r" *local ([\w, ]+)", line)
    return [name.strip() for name in match[1].split(",")] if match else []


def _constant(name: str, layouts: Tables) -> int:
    constants = {"KIND": tables.FORMAT_KIND, "VERSION": tables.FORMAT_VERSION}
    constants["LONG_MARK"] = tables.LONG_MARK
    if name in constants:
        return constants[name]
    of, _, what = name.rpartition("_")
    layout = layouts[of]
    # MOST: with every optional field. REST: what follows the first field.
    most = layout.size + sum(entry.field.width for entry in layout.optional)
    return {"SIZE": layout.size, "MOST": most, "REST": layout.size - layout.fields[0].width}[what]


def _expression(match: re.Match[str], layouts: Tables) -> str:
    """Return the one expression that a packer returns, with the arguments of a call in it."""
    function = _FUNCTIONS[match[1]](layouts)
    given = [argument.strip() for argument in match[2].split(",")]
    shown = [one if re.fullmatch(r"#?[\w.]+", one) else f"({one})" for one in given]
    shown += ["nil"] * (len(function.parameters) - len(shown))
    values = dict(zip(function.parameters, shown, strict=True))
    pattern = r"\b(" + "|".join(function.parameters) + r")\b"
    return f"({re.sub(pattern, lambda name: values[name[1]], function.results[0])})"


def _call(match: re.Match[str], layouts: Tables, made: dict[str, Function]) -> str:
    """Return the statements of a function that is called in `local names = f(arguments)`."""
    indent, names, of_layout, name, arguments = match.groups()
    function = _FUNCTIONS[name](layouts) if of_layout else made.get(name)
    if function is None or not function.inline:
        return str(match[0])
    # Its own names get a mark, so that they hide none of the caller's.
    declared = {word for line in function.lines for word in _declared(line)}
    own = re.compile(rf"\b({'|'.join(declared | set(function.parameters) | {'_'})})\b")
    marked = [own.sub(r"\1_", line) for line in [*function.lines, ", ".join(function.results)]]
    bound = f"local {', '.join(f'{name}_' for name in function.parameters)} = {arguments}"
    body = [bound, *marked[:-1]] if function.parameters else marked[:-1]
    if function.made is not None:
        made[names] = function.made
        names = ", ".join(function.results)
    else:
        body.append(f"{names} = {marked[-1]}")
    lines = [f"local {names}", "do", *body, "end"]
    return "\n".join(indent + line for line in lines)


def _format(fields: Iterable[Field]) -> str:
    codes = (
        f"c{field.width}" if field.kind == "bytes" else _CODES.get(field.width, f"I{field.width}")
        for field in fields
    )
    return f"'>{''.join(codes)}'"


class _Reading:
    """The statements that read values of a string `s` from position `at` on.

    A value is named as in the layout: a field, flag or optional field (nil without it), a part or
    the tail as bytes; or `X_at`, the position of the part or tail X, or `next_at`, what follows
    the parts. `given` are the function's arguments after `s`: `at`, unless that is 1, and `next_at`
    where the parts do not follow. With `checked`, a value out of bounds makes it return nil.
    """

    def __init__(
        self, layout: Layout, names: Sequence[str], given: Sequence[str] = (), *, checked: bool
    ) -> None:
        self.layout, self.names, self.checked = layout, names, checked
        self.at = "at" if given else "1"
        self.apart = "next_at" in given
        self.parts = [part.name for part in layout.parts]
        places = [*self.parts, *([layout.tail] if layout.tail else []), "next"]
        variable = {*places, *(f"{place}_at" for place in places)} & set(names)
        self.variable = bool(variable) or checked
        plain = [name for name in names if not name.endswith("_at") or name not in variable]
        plain += ["end"] if self.variable else []
        plain += [bits.name for bits in layout.bits] if checked else []
        self.needed = needed_fields(layout, plain)
        self.lines = [*self._fixed(), *self._optional(), *self._flags(), *self._places()]

    def _fixed(self) -> list[str]:
        spans: list[list[int]] = []
        fields = self.layout.fields
        for i, field in enumerate(fields):
            if field.name in self.needed and spans and i - spans[-1][1] <= _MAX_GAP:
                spans[-1][1] = i
            elif field.name in self.needed:
                spans.append([i, i])
        lines = []
        for first, last in spans:
            span = fields[first : last + 1]
            start = sum(field.width for field in fields[:first])
            names = ", ".join(f.name if f.name in self.needed else "_" for f in span)
            if len(span) == 1 and span[0].width == 1:
                lines.append(f"local {names} = sbyte(s, {self.at} + {start})")
            elif len(span) == 1 and span[0].kind == "bytes":
                first_at = f"{self.at} + {start}"
                lines.append(
                    f"local {names} = ssub(s, {first_at}, {first_at} + {span[0].width - 1})"
                )
            else:
                lines.append(f"local {names} = sunpack({_format(span)}, s, {self.at} + {start})")
        return lines

    def _optional(self) -> list[str]:
        wanted = [entry for entry in self.layout.optional if entry.field.name in self.needed]
        follows = (wanted or self.variable) and not self.apart
        lines = [f"local next_at = {self.at} + {self.layout.size}"] if follows else []
        flags = {bits.name: bits for bits in self.layout.bits}
        for entry in wanted:
            name, width = entry.field.name, entry.field.width
            lines += [f"local {name}", f"if {_bits(flags[entry.flag])} then"]
            if self.checked:
                lines.append(f"  if #s < next_at + {width - 1} then return nil end")
            lines += [f"  {name}, next_at = sunpack({_format([entry.field])}, s, next_at)", "end"]
        return lines

    def _flags(self) -> list[str]:
        lines = []
        for bits in self.layout.bits:
            if bits.of in self.needed and (self.checked or bits.name in self.names):
                lines.append(f"local {bits.name} = {_bits(bits)}")
                if self.checked and bits.most < bits.mask >> bits.at:
                    lines.append(f"if {bits.name} > {bits.most} then return nil end")
        if self.checked:
            spare = {bits.of: self.layout.spare(bits.of) for bits in self.layout.bits}
            lines += [
                f"if bit.band({of} or 0, {mask}) > 0 then return nil end"
                for of, mask in spare.items()
                if mask
            ]
        return lines

    def _places(self) -> list[str]:
        if not self.variable:
            return []
        lines = []
        optional = {entry.field.name for entry in self.layout.optional}
        for part in self.layout.parts:
            size = f"({part.size} or 0)" if part.size in optional else part.size
            lines += [f"local {part.name}_at = next_at", f"next_at = next_at + {size}"]
            if part.name in self.names:
                lines.append(f"local {part.name} = ssub(s, {part.name}_at, next_at - 1)")
        if self.checked:
            lines.append("if #s < next_at - 1 then return nil end")
        if f"{self.layout.tail}_at" in self.names:
            lines.append(f"local {self.layout.tail}_at = next_at")
        if self.layout.tail in self.names:
            lines.append(f"local {self.layout.tail} = ssub(s, next_at)")
        return lines


def _bits(bits: Bits) -> str:
    """Return the value of bits as a number, or of one bit as a boolean."""
    value = bits.of if bits.of == "flags" else f"({bits.of} or 0)"
    if bits.count == 1:
        rest = "" if bits.at == 7 and value == "flags" else f" % {2 << bits.at}"
        return f"{value}{rest} >= {1 << bits.at}"
    return f"floor({value} / {1 << bits.at}) % {1 << bits.count}"


def _values(
    of: str, names: str, *given: str, checked: bool = False
) -> Callable[[Tables], Function]:
    """Return `function(s, given)` that returns values of a layout."""

    def made(layouts: Tables) -> Function:
        wanted = names.split()
        reading = _Reading(layouts[of], wanted, given, checked=checked)
        return Function(("s", *given), reading.lines, wanted, inline=not checked)

    return made


def table(of: str, names: str = "") -> Callable[[Tables], Function]:
    """Return `function(s)` that returns a table of values, nil when they make no sense.

    `s` is as long as the fixed fields at least. Without `names`: all but sizes and the format.
    """

    def made(layouts: Tables) -> Function:
        layout = layouts[of]
        wanted = names.split() or _every(layout)
        reading = _Reading(layout, wanted, checked=True)
        values = ", ".join(f"{name} = {name}" for name in wanted)
        return Function(("s",), reading.lines, [f"{{{values}}}"], inline=False)

    return made


def _every(layout: Layout) -> list[str]:
    """Return the names of a layout's values but for its format, flags and sizes."""
    hidden = {"format", *(part.size for part in layout.parts)}
    hidden |= {bits.of for bits in layout.bits} | {entry.flag for entry in layout.optional}
    names = [field.name for field in layout.fields] + [bits.name for bits in layout.bits]
    names += [entry.field.name for entry in layout.optional]
    names += [*(part.name for part in layout.parts), layout.tail]
    return [name for name in names if name not in hidden]


def _blank(of: str) -> Callable[[Tables], Function]:
    """Return `function()` that returns a table of a layout's values, all 0, false or ''."""

    def made(layouts: Tables) -> Function:
        layout = layouts[of]
        empty = dict.fromkeys((part.name for part in layout.parts), "''")
        empty |= {layout.tail: "''"} | {b.name: "false" for b in layout.bits if b.count == 1}
        absent = {entry.field.name for entry in layout.optional}
        names = [name for name in _every(layout) if name not in absent]
        values = ", ".join(f"{name} = {empty.get(name, '0')}" for name in names)
        return Function((), [], [f"{{{values}}}"], inline=False)

    return made


def _pack(of: str, names: str) -> Callable[[Tables], Function]:
    """Return `function(names)` that returns the fixed and optional fields as bytes."""

    def made(layouts: Tables) -> Function:
        packed = _packed(layouts[of], lambda name: name)
        return Function(tuple(names.split()), [], [packed])

    return made


def writer(of: str) -> Callable[[Tables], Function]:
    """Return `function(r)` that returns the bytes of a table with every value of a layout."""

    def made(layouts: Tables) -> Function:
        layout = layouts[of]
        sizes = {part.size: f"#r.{part.name}" for part in layout.parts}
        head = _packed(layout, lambda name: sizes.get(name, f"r.{name}"))
        rest = [f"r.{part.name}" for part in layout.parts] + [f"r.{layout.tail}"]
        return Function(("r",), [], [" .. ".join([head, *rest])], inline=False)

    return made


def _packed(layout: Layout, value: Callable[[str], str]) -> str:
    """Return the expression that packs a layout's fields, its format and flags by themselves."""
    optional = {entry.flag: entry.field.name for entry in layout.optional}
    groups = {bits.of for bits in layout.bits}

    def flags(of: str) -> str:
        shown = []
        for bits in layout.bits:
            if bits.of == of and bits.count == 1:
                shown.append(
                    f"({present(optional.get(bits.name, bits.name))} and {bits.mask} or 0)"
                )
            elif bits.of == of:
                shown.append(f"{value(bits.name)} * {1 << bits.at}")
        return " + ".join(shown)

    def present(name: str) -> str:
        if name in groups:
            return f"{flags(name)} > 0"
        return f"{value(name)} > 0" if value(name).startswith("#") else value(name)

    def shown(field: Field) -> str:
        if field.name == "format":
            return str(_FORMAT)
        return flags(field.name) if field.name in groups else value(field.name)

    head = f"spack({_format(layout.fields)}, {', '.join(map(shown, layout.fields))})"
    for entry in layout.optional:
        packed = f"spack({_format([entry.field])}, {shown(entry.field)})"
        head += f" .. ({present(entry.field.name)} and {packed} or '')"
    return head


def _content_name(layouts: Tables) -> Function:
    """Return `function(content, name_size, trace_size)` that returns the name in a job's parts."""
    parts = layouts["JOB"].parts
    before = [part.size for part in parts[: [part.name for part in parts].index("name")]]
    start = " + ".join(["1", *before])
    name = f"ssub(content, {start}, {start} + name_size - 1)"
    return Function(("content", "name_size", "trace_size"), [], [name])


def _first_runs(layouts: Tables) -> Function:
    """Return `function(now, deadline, worker)` that returns the function that makes first runs.

    A job claimed for the first time: of its run, all but what the inner function is given is the
    same for every job of a claim, or is copied from the job `s`. `prefix`: format and flags.
    """
    job, run = layouts["JOB"], layouts["RUN"]
    same = dict.fromkeys((field.name for field in run.fields), "0")
    same |= {"deadline": "deadline", "attempt": "1", "started_at": "now", "revision": "2"}
    same |= {"updated_at": "now", "worker_size": "#worker"}
    each = {"ttl_from": "ttl_from or 0", "body_size": "body_size", "claim": "claim"}
    copied = {field.name for field in job.fields} & set(same)

    def kind(field: Field) -> str:
        if field.name in each:
            return "each"
        return (
            f"copied {job.offset(field.name) - run.offset(field.name)}"
            if field.name in copied
            else "same"
        )

    pieces: list[tuple[bool, str]] = [(False, "prefix")]
    for what, fields in _grouped(run.fields[2:], kind):
        if what.startswith("copied"):
            first, last = job.offset(fields[0].name), job.offset(fields[-1].name) + fields[-1].width
            pieces.append((False, f"ssub(s, {first + 1}, {last})"))
        else:
            values = ", ".join((each if what == "each" else same)[f.name] for f in fields)
            packed = f"spack({_format(fields)}, {values})"
            if [field.name for field in fields] == ["ttl_from"]:
                zero = "\\0" * fields[0].width
                packed = f"(ttl_from and {packed} or '{zero}')"
            pieces.append((what == "same", packed))
    parts = {"worker": (True, "worker"), "name": (False, "name")}
    pieces += [parts[part.name] for part in run.parts if part.name in parts]
    lines: list[str] = []
    shown: list[str] = []
    for constant, group in _grouped(pieces, lambda piece: piece[0]):
        joined = " .. ".join(piece[1] for piece in group)
        if constant:
            lines.append(f"same_{len(lines)} = {joined}")
            joined = f"same_{len(lines) - 1}"
        shown.append(joined)
    given = ("prefix", "s", "ttl_from", "body_size", "claim", "name")
    made = Function(given, [], [" .. ".join(shown)])
    results = [f"same_{i}" for i in range(len(lines))]
    return Function(("now", "deadline", "worker"), lines, results, made)


def _completed_runs(layouts: Tables) -> Function:
    """Return `function()` that returns the function that completes runs.

    The run `s` has neither error nor progress nor result; most runs of a batch change to the same
    bytes. `prefix`: format and flags; `entry`: the end of this run for the history.
    """
    run = layouts["RUN"]
    changed = {
        "revision": "revision + 1",
        "updated_at": "now",
        "completed_at": "now",
        "history_count": "history_count + 1",
        "error_size": "0",
        "progress_size": "0",
        "history_size": "history_size + #entry",
    }
    keys = ("revision", "history_count", "history_size", "#entry")
    shown, position = ["prefix"], ["3"]
    again: list[str] = []
    kept: list[str] = []

    def keep() -> None:
        if kept:
            shown.append(f"ssub(s, {' + '.join(position)}, {' + '.join([*position, *kept])} - 1)")
            position.extend(kept)
            kept.clear()

    for is_changed, fields in _grouped(run.fields[2:], lambda field: field.name in changed):
        width = str(sum(field.width for field in fields))
        if is_changed:
            keep()
            values = ", ".join(changed[field.name] for field in fields)
            name = f"changed_{len(again)}"
            again.append(f"  {name} = spack({_format(fields)}, {values})")
            shown.append(name)
            position.append(width)
        else:
            kept.append(width)
    for part in run.parts:
        if part.name == "name":
            keep()
            shown.append("name")
            position.append("#name")
        elif part.size not in changed or part.name == "history":
            kept.append(part.size)
        if part.name == "history":
            keep()
            shown.append("entry")
    keep()
    last = [f"last_{i}" for i in range(len(keys))]
    same = " and ".join(f"{old} == {key}" for old, key in zip(last, keys, strict=True))
    lines = [f"if not ({same}) then", f"  {', '.join(last)} = {', '.join(keys)}", *again, "end"]
    given = "s prefix revision history_count history_size worker_size name entry result now"
    made = Function(tuple(given.split()), lines, [" .. ".join([*shown, "result"])])
    return Function((), [], [*last, *(f"changed_{i}" for i in range(len(again)))], made)


def _grouped(items: Iterable[_T], key: Callable[[_T], _K]) -> list[tuple[_K, list[_T]]]:
    return [(what, list(group)) for what, group in groupby(items, key)]


_FUNCTIONS: Final[Mapping[str, Callable[[Tables], Function]]] = {
    # The records: as tables, and in the parts that the common cases need.
    "read_job": table(
        "JOB", "priority body_apart created_at seq max_attempts ttl_from body_size name request_at"
    ),
    "read_run": table("RUN"),
    "new_run": _blank("RUN"),
    "write_run": writer("RUN"),
    "pack_job": _pack(
        "JOB",
        "priority created_at seq max_attempts name_size trace_size ttl_from body_size",
    ),
    "job_head_end": _values("JOB", "request_at", checked=True),
    "run_head_end": _values("RUN", "result_at", checked=True),
    "job_priority": _values("JOB", "priority"),
    "run_line": _values("RUN", "state priority"),
    "read_fresh": _values("JOB", "created_at ttl_from body_size name request_at"),
    "read_running": _values(
        "RUN",
        "attempt started_at cancel_requested_at body_size claim revision history_count error_size"
        " progress_size history_size worker_size worker name result_at",
    ),
    "first_runs": _first_runs,
    "completed_runs": _completed_runs,
    # What is kept inside of records and beside them.
    "pack_attempt": _pack("ATTEMPT", "size number started_at ended_at outcome error_size"),
    "attempt_end": _values("ATTEMPT", "next_at"),
    "pack_error": _pack("ERROR", "retryable code_size"),
    "error_code": _values("ERROR", "code"),
    "pack_held": _pack("HELD", "claim id"),
    "read_held": _values("HELD", "claim id", "at"),
    "pack_last_claim": _pack("LAST_CLAIM", "request first"),
    "read_last_claim": _values("LAST_CLAIM", "request first"),
    "pack_binding": _pack("BINDING", "id kept_until"),
    "read_binding": _values("BINDING", "id kept_until fingerprint"),
    "binding_id": _values("BINDING", "id"),
    "request_size": _values("REQUEST", "size", "at"),
    "long_request_size": _values("LONG_REQUEST", "size", "at"),
    "id_words": _values("ID_WORDS", "a b c d"),
    # What scripts take and return.
    "read_new_job": _values(
        "NEW_JOB",
        "id priority max_attempts delay_ms ttl_ms name_size trace_size content_size blob_size"
        " key_size fingerprint_size body_size content_at blob_at key_at fingerprint_at next_at",
        "at",
        "next_at",
    ),
    "new_job_id": _values("NEW_JOB", "id", "at"),
    "content_name": _content_name,
    "read_outcome": _values(
        "OUTCOME",
        "id claim worker_index kind delay_ms code_size message_size result_size code_at message_at"
        " result_at next_at",
        "at",
        "next_at",
    ),
    "outcome_id": _values("OUTCOME", "id", "at"),
    "outcome_flags": _values("OUTCOME", "started final retryable has_error", "at"),
    "read_update": _values("UPDATE", "id claim worker_index progress_size", "at"),
    "update_id": _values("UPDATE", "id", "at"),
    "read_claim": _values("CLAIM", "id claim", "at"),
    "pack_claim": _pack("CLAIM", "id claim"),
    "pack_context": _pack("CONTEXT", "now paused_ms ttl_ms completed_ms failed_ms"),
    "pack_ahead": _pack("AHEAD", "ahead"),
    "pack_worker": _pack("WORKER", "lease held cordoned_until draining"),
    "pack_found": _pack("FOUND", "id claim attempt max_attempts"),
    "pack_lease": _pack("LEASE", "gone cordoned held"),
    "pack_event": _pack("EVENT", "id revision"),
}
