"""A fault in a file of a user: its location, what is wrong, and what to write instead."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

Location = tuple[str | int, ...]
"""The path from the root of a document to a value: field names and list indexes."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A problem with one field.

    `location` is empty for a whole document. `line` and `column` count from 1 and are 0 if the
    file is not known. `message` never contains a credential.
    """

    location: Location
    message: str
    file: str = ""
    line: int = 0
    column: int = 0

    @property
    def path(self) -> str:
        """The location as text: `spec.routes[0].path`."""
        return format_path(self.location)

    def render(self) -> str:
        """Return the fault as one line, `file:line:col: path: message`, without unknown parts."""
        position = self.file
        if self.line:
            position = f"{position}:{self.line}:{self.column}"
        return one_line(": ".join(part for part in (position, self.path, self.message) if part))

    def at(self, file: str, line: int, column: int) -> Self:
        """Return the same fault with its position in a file."""
        return replace(self, file=file, line=line, column=column)


def format_path(location: Iterable[str | int]) -> str:
    """Format a location as `spec.routes[0].schema`; keys that are not plain names are quoted."""
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
    """Return `text` as one line without control characters, so that it cannot forge log lines."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))
