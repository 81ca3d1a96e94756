"""What `run` serves: endpoints in files, and Endpoints in code named as MODULE:NAME."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from asyncendpoints_cli.code_first.find import find, is_code
from asyncendpoints_cli.files import load_all
from asyncendpoints_core.manifest import Loaded
from asyncendpoints_core.manifest.yaml_reader import Document, Position
from asyncendpoints_worker.handlers import modules

if TYPE_CHECKING:
    from collections.abc import Sequence


class Sources:
    """The files and the code that `run` was given, also after user code has changed the working
    directory. `names` are those given.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self._home = Path.cwd()
        self._code = [name for name in names if is_code(name) and not Path(name).exists()]
        self.files = [Path(name).absolute() for name in names if name not in self._code]

    def load(self) -> tuple[Loaded, ...]:
        """Load every endpoint, files first. Raises UsageError, with the faults of files on
        stderr.
        """
        unmoved = Path.cwd() == self._home
        files = [file for file in self.names if file not in self._code] if unmoved else self.files
        loaded = load_all(files) if files else ()
        found = (replace(each, file=each.file.absolute()) for each in loaded)
        return (*found, *(self._in_code(name) for name in self._code))

    def _in_code(self, name: str) -> Loaded:
        """Return an Endpoint as if a file in the folder of the start had it."""
        endpoint = find(name, self._home)
        document = Document(name, Position(0, 0), endpoint.document())
        return Loaded(endpoint.resource(), self._home / name, document)

    def forget_code(self) -> None:
        """Make the next `load` import the modules of Endpoints in code again."""
        if self._code:
            modules.forget([self._home])
