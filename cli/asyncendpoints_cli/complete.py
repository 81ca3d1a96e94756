"""What completes a command line: commands, options, and values that are one of a few."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def complete(words: Sequence[str], parser: argparse.ArgumentParser) -> int:
    """Print what the last of `words`, which follow the program's name, may become."""
    sys.stdout.writelines(f"{word}\n" for word in candidates(words, parser))
    return 0


def candidates(words: Sequence[str], parser: argparse.ArgumentParser) -> list[str]:
    """Return what the last of `words` may become; nothing where a file or any text is expected."""
    *before, last = words or [""]
    if "=" in (last, *before[-1:]):  # bash makes three words of --option=value
        before, last = [word for word in before if word != "="], last.removeprefix("=")
    if last.startswith("--") and "=" in last:
        name, _, value = last.partition("=")
        return [f"{name}={each}" for each in candidates([*before, name, value], parser)]
    for word in before:
        parser = _commands(parser).get(word, parser)
    option = _option(parser, before[-1]) if before else None
    if option is not None and option.nargs != 0:
        found = option.choices or ()
    elif last.startswith("-"):
        found = [name for action in parser._actions for name in _options(action)]
    else:
        found = [*_commands(parser), *_values(parser)]
    return [str(each) for each in found if str(each).startswith(last)]


def _commands(parser: argparse.ArgumentParser) -> dict[str, Any]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _values(parser: argparse.ArgumentParser) -> list[str]:
    """Return the values of the positional arguments that have few."""
    return [
        value
        for action in parser._actions
        if not action.option_strings and not isinstance(action, argparse._SubParsersAction)
        for value in action.choices or ()
    ]


def _options(action: argparse.Action) -> Sequence[str]:
    return [] if action.help == argparse.SUPPRESS else action.option_strings


def _option(parser: argparse.ArgumentParser, name: str) -> argparse.Action | None:
    return next((each for each in parser._actions if name in each.option_strings), None)
