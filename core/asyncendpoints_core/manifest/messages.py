"""Error messages for fields, with a suggestion what to write instead."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_core.resource.base import PATTERNS, Record
from asyncendpoints_core.resource.fields import homes, names_of, resolve

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from asyncendpoints_core.common.faults import Fault
    from asyncendpoints_core.manifest.yaml_reader import Document

_SHOWN: Final = 40  # characters of a value that are quoted in a message

_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400}
_BYTES: Final = {
    "k": 1_000, "kb": 1_000, "m": 10**6, "mb": 10**6, "g": 10**9, "gb": 10**9,
    "ki": 2**10, "kib": 2**10, "mi": 2**20, "mib": 2**20, "gi": 2**30, "gib": 2**30,
}  # fmt: skip


def explain(document: "Document", error: "ErrorDetails") -> "Fault":
    """Convert a validation error of the model to a fault with its position in the document."""
    kind = error["type"]
    location, owners = resolve(error["loc"])
    if kind == "extra_forbidden":
        name = error["loc"][-1]  # as written, even if it is a Python attribute
        return document.fault((*location[:-1], name), _unknown(str(name), owners[-1]), at_key=True)
    context = error.get("ctx", {})
    if kind == "rule_of_parent":
        return document.fault(location[:-1], context["message"], at_key=True)
    if kind == "missing":
        return document.fault(location, "required field is missing")
    describe = _MESSAGES.get(kind)
    value = _Value(error["input"], document.raw(location), str(location[-1]))
    text = describe(value, context) if describe else error["msg"]
    if error["input"] is None and _is_optional(owners[-1], location[-1]):
        text += "; without one, leave the field out"
    return document.fault(location, text)


def _is_optional(owner: type[Record] | None, name: object) -> bool:
    fields = owner.model_fields.values() if owner else ()
    return any(field.alias == name and not field.is_required() for field in fields)


def _unknown(name: str, owner: type[Record] | None) -> str:
    siblings = names_of(owner) if owner else []
    hint = guess(name, siblings)
    if not hint and (parents := homes(name)):
        hint = f"; it belongs in {' or '.join(parents[:2])}"
    if not hint and siblings:
        hint = f"; the known fields are {', '.join(sorted(siblings))}"
    return "unknown field" + hint


def guess(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean X?" with the known name most similar to `name`, or ""."""
    plain = {_plain(candidate): candidate for candidate in known}
    close = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=0.7)
    return f"; did you mean {plain[close[0]]}?" if close else ""


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


class _Value:
    """A rejected value: as parsed, as written, and the name of its field."""

    def __init__(self, value: Any, raw: str, name: str) -> None:
        self.value, self.raw, self.name = value, raw, name

    def __str__(self) -> str:
        value = self.value
        if value is None:
            return "has no value"
        if isinstance(value, bool):
            return f"is {str(value).lower()}"
        if isinstance(value, int | float):
            return f"is the number {self.raw or value}"
        if isinstance(value, str) and "://" in value:
            return "is text"  # a URL in the wrong field may contain a password
        if isinstance(value, str):
            short = value if len(value) <= _SHOWN else value[: _SHOWN - 1] + "…"
            return f'is the text "{short}"'
        return "is a list" if isinstance(value, list | tuple) else "is a mapping"


def _text(value: _Value, _: Mapping[str, Any]) -> str:
    content = value.value
    if isinstance(content, dict) and content and all(v is None for v in content.values()):
        return f'must be text, but unquoted braces are a mapping; write "{{{", ".join(content)}}}"'
    if isinstance(content, bool | int | float):
        return f'must be text, but {value}; write "{value.raw or content}"'
    return f"must be text, but {value}"


def _number(wanted: str, whole: bool) -> Callable[[_Value, Mapping[str, Any]], str]:
    pattern = r"[-+]?\d+" if whole else r"[-+]?\d+(\.\d+)?"

    def describe(value: _Value, _: Mapping[str, Any]) -> str:
        start = f"must be {wanted}, but {value}"
        if not isinstance(value.value, str):
            return start
        text = value.value.strip()
        if re.fullmatch(pattern, text):
            return f"{start}; write {text} without quotes"
        amount = _amount(text, value.name)
        return start if amount is None else f"{start}; write {amount}"

    return describe


def _amount(text: str, name: str) -> str | None:
    """Convert a text such as 5m or 1Mi to the field's unit, seconds or bytes."""
    parts = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)", text)
    units = _SECONDS if name.endswith("Seconds") else _BYTES if name.endswith("Bytes") else {}
    factor = units.get(parts[2].lower()) if parts else None
    if parts is None or factor is None:
        return None
    return f"{float(parts[1]) * factor:.15g}"


def _boolean(value: _Value, _: Mapping[str, Any]) -> str:
    meant = {"true": "true", "yes": "true", "on": "true", "false": "false", "no": "false"}
    fix = meant.get(str(value.value).lower()) if isinstance(value.value, str) else None
    return f"must be true or false, but {value}" + (f"; write {fix} without quotes" if fix else "")


def _list(value: _Value, _: Mapping[str, Any]) -> str:
    if isinstance(value.value, bool | int | float | str):
        start, text = f"must be a list, but {value}", f"{value.raw or value.value}"
        # As in `_Value`: neither long texts nor URLs, which may contain a password.
        whole = len(text) <= _SHOWN and "://" not in text
        return f"{start}; write [{text}]" if whole else f'{start}; start each item with "- "'
    if isinstance(value.value, dict):
        return 'must be a list, but is a mapping; start each item with "- "'
    return f"must be a list, but {value}"


def _mapping(value: _Value, _: Mapping[str, Any]) -> str:
    return f"must be a mapping (name: value), but {value}"


def _choice(value: _Value, context: Mapping[str, Any]) -> str:
    options = re.findall(r"'([^']*)'", context["expected"])
    listed = ", ".join(option or '""' for option in options)
    hint = guess(value.value, options) if isinstance(value.value, str) else ""
    return f"must be {'one of ' if len(options) > 1 else ''}{listed}, but {value}{hint}"


def _limit(words: str, key: str) -> Callable[[_Value, Mapping[str, Any]], str]:
    def describe(value: _Value, context: Mapping[str, Any]) -> str:
        limit = context[key]
        limit = f"{limit:g}" if isinstance(limit, float) else limit
        return f"must be {words} {limit}, but is {value.raw or value.value}"

    return describe


def _length(words: str, key: str, what: str) -> Callable[[_Value, Mapping[str, Any]], str]:
    def describe(value: _Value, context: Mapping[str, Any]) -> str:
        limit = context[key]
        noun = what if limit != 1 else what.removesuffix("s")
        return f"must have {words} {limit} {noun}, but has {len(value.value)}"

    return describe


def _pattern(_: _Value, context: Mapping[str, Any]) -> str:
    return f"must be {PATTERNS.get(context['pattern'], 'as ' + context['pattern'])}"


_MESSAGES: Final[dict[str, Callable[[_Value, Mapping[str, Any]], str]]] = {
    "bool_type": _boolean,
    "dict_type": _mapping,
    "finite_number": lambda value, _: "must be a finite number",
    "float_type": _number("a number", whole=False),
    "greater_than_equal": _limit("at least", "ge"),
    "int_from_float": _number("a whole number", whole=True),
    "int_type": _number("a whole number", whole=True),
    "less_than_equal": _limit("at most", "le"),
    "literal_error": _choice,
    "model_attributes_type": _mapping,
    "model_type": _mapping,
    "rule": lambda _, context: str(context["message"]),
    "string_pattern_mismatch": _pattern,
    "string_too_long": _length("at most", "max_length", "characters"),
    "string_too_short": _length("at least", "min_length", "characters"),
    "string_type": _text,
    "too_long": _length("at most", "max_length", "items"),
    "too_short": _length("at least", "min_length", "items"),
    "tuple_type": _list,
}
