"""A fault in a file a user wrote: where it is, what is wrong, and what to write instead."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

Location = tuple[str | int, ...]
"""The way from a document's root to a value: field names and list positions."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with one field.

    `location` is empty for a whole document. `line` and `column` count from 1 and are 0 where no
    file is known. `message` never holds a credential.
    """

    location: Location
    message: str
    file: str = ""
    line: int = 0
    column: int = 0

    @property
    def path(self) -> str:
        """The location as a person writes it: `spec.routes[0].path`."""
        return format_path(self.location)

    def render(self) -> str:
        """Return the fault as one line: `file:line:col: path: message`, unknown parts left out."""
        place = self.file
        if self.line:
            place = f"{place}:{self.line}:{self.column}"
        return one_line(": ".join(part for part in (place, self.path, self.message) if part))

    def at(self, file: str, line: int, column: int) -> Self:
        """Return the same fault, placed in a file."""
        return replace(self, file=file, line=line, column=column)


def format_path(location: Iterable[str | int]) -> str:
    """Write a location as `spec.routes[0].schema`; keys that are no plain names are quoted."""
    path = ""
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step.replace("_", "a").replace("-", "a").replace("$", "a").isalnum():
            path += f".{step}" if path else step
        else:
            path += f'["{step}"]'
    return path


def one_line(text: str) -> str:
    """Return `text` on one line and without control characters, so that it cannot forge a line."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))
