"""argparse with errors that name the fix: the closest command or option."""

import argparse
import difflib
import re
from typing import Any, NoReturn

from asyncendpoints_core.errors import UsageError


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises UsageError instead of printing its usage and exiting."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.known_options: list[str] = []
        self.known_commands: list[str] = []
        super().__init__(*args, **options)

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        """Add an argument as argparse does; its options are suggested for unknown ones."""
        action = super().add_argument(*names, **options)
        self.known_options += action.option_strings
        return action

    def error(self, message: str) -> NoReturn:
        """Raise UsageError with argparse's message and where to find help."""
        if wrong := re.match(r"argument COMMAND: invalid choice: '(.*?)'", message):
            known = [*self.known_commands, *self.known_options]
            hint = _suggestion(wrong[1], known)
            message = f"unknown command {wrong[1]}{hint}"
        raise UsageError(f"{message} (see {self.prog} --help)")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; unknown arguments are reported by the parser of the command."""
        parsed, rest = self.parse_known_args(args, namespace)
        if rest:
            getattr(parsed, "parser", self).reject(rest[0].partition("=")[0])
        return parsed

    def reject(self, name: str) -> NoReturn:
        """Raise UsageError for an unknown argument, with a suggestion for an option."""
        if not name.startswith("-"):
            hint = "; use --endpoint FILE" if "--endpoint" in self.known_options else ""
            self.error(f"unexpected argument {name!r}{hint}")
        hint = _suggestion(name, self.known_options)
        if name == "--endpoint":
            hint = "; name the FILE without it"
        self.error(f"unknown option {name}{hint}")


def _suggestion(wrong: str, known: list[str]) -> str:
    close = difflib.get_close_matches(wrong, known, 1)
    return f"; did you mean {close[0]}?" if close else ""
