"""What describes one command: its arguments, settings, examples and notes."""

from dataclasses import dataclass
from typing import Any

Argument = tuple[tuple[str, ...], dict[str, Any]]
"""The names and the options of an argument, as argparse takes them."""


@dataclass(frozen=True)
class Command:
    """One command. `name` is one word, or a group and a word: `jobs list`."""

    name: str
    summary: str
    description: str
    examples: tuple[tuple[str, str], ...]
    arguments: tuple[Argument, ...] = ()
    settings: str = ""
    notes: tuple[str, ...] = ()


def argument(*names: str, **options: Any) -> Argument:
    """Return an argument."""
    return names, options
