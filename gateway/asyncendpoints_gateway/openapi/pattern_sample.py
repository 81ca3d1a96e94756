"""A short text that matches a regular expression of the kind that JSON Schemas use."""

from __future__ import annotations

import re
from typing import Final

_CANDIDATES: Final = "aA0-_./:@ ~bB1!é"
_CLASSES: Final = {"d": "0", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a"}
_CONTROLS: Final = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"}
_ZERO_WIDTH: Final = frozenset("AzZbB")
_REPEAT: Final = re.compile(r"\{(\d+)(,?)(\d*)\}")
_GROUP: Final = re.compile(r"\?(?:[a-z]*:|P?<\w+>)|\?[a-z]+(?=\))")
_CLASS: Final = re.compile(r"\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]", re.DOTALL)
_SET_OPERATION: Final = re.compile(r"\[|--|&&|~~|\|\|")
MAX_CHARS: Final = 2_000


def matching_text(pattern: str, more: int = 0) -> str:
    """Return a text that probably matches `pattern`: the first alternatives, and of each repetition
    the least, plus `more` where that is allowed. Raises ValueError for syntax it does not know.
    """
    text, end = _alternatives(pattern, 0, more)
    if end != len(pattern):
        raise ValueError("unbalanced pattern")
    return text


def _alternatives(pattern: str, at: int, more: int) -> tuple[str, int]:
    """Return a text for the first alternative, and where the group ends."""
    first: str | None = None
    text = ""
    while at < len(pattern) and pattern[at] != ")":
        if pattern[at] == "|":
            first, text, at = text if first is None else first, "", at + 1
            continue
        part, at = _atom(pattern, at, more)
        least, most, at = _repetition(pattern, at)
        text += part * min(most, least + more)
        if len(text) > MAX_CHARS:
            raise ValueError("the text is too long")
    return text if first is None else first, at


def _atom(pattern: str, at: int, more: int) -> tuple[str, int]:
    char = pattern[at]
    if char in "^$":
        return "", at + 1
    if char == ".":
        return "a", at + 1
    if char == "(":
        group = _GROUP.match(pattern, at + 1)
        text, end = _alternatives(pattern, group.end() if group else at + 1, more)
        return text, end + 1
    if char == "[":
        return _of_class(pattern, at)
    if char == "\\":
        return _escape(pattern, at + 1)
    return char, at + 1


def _of_class(pattern: str, at: int) -> tuple[str, int]:
    found = _CLASS.match(pattern, at)
    if found is None:
        raise ValueError("unbalanced class")
    if _SET_OPERATION.search(found[0], 1):
        raise ValueError("a class of classes means different things in different dialects")
    try:
        allowed = re.compile(found[0])
    except re.error as error:
        raise ValueError(str(error)) from None
    printable = map(chr, range(0x20, 0x7F))
    for char in (*_CANDIDATES, *printable):
        if allowed.fullmatch(char):
            return char, found.end()
    raise ValueError("no printable character is in the class")


def _escape(pattern: str, at: int) -> tuple[str, int]:
    char = pattern[at : at + 1]
    if char in _ZERO_WIDTH:
        return "", at + 1
    if char in "pPxu":
        raise ValueError("unknown escape")
    return _CLASSES.get(char) or _CONTROLS.get(char) or char, at + 1


def _repetition(pattern: str, at: int) -> tuple[int, int, int]:
    """Return how often the last atom may occur, and where what says so ends."""
    least, most, end = 1, 1, at
    char = pattern[at : at + 1]
    if char and char in "*+?":
        least, most, end = int(char == "+"), 1 if char == "?" else MAX_CHARS, at + 1
    elif char == "{" and (found := _REPEAT.match(pattern, at)):
        least = int(found[1])
        most = int(found[3]) if found[3] else MAX_CHARS if found[2] else least
        end = found.end()
    if end > at and pattern[end : end + 1] == "?":
        end += 1  # as few as possible
    return least, most, end
