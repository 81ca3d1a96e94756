"""What `run` serves: endpoints in files, and Endpoints in code named as MODULE:NAME; and the checks
at the start and on a reload that it can serve them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from asyncendpoints_cli.code_first.find import find, is_code
from asyncendpoints_cli.files import load_all
from asyncendpoints_cli.roles import check_redis
from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.manifest import Loaded
from asyncendpoints_core.manifest.yaml_reader import Document, Position
from asyncendpoints_worker.handlers import modules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints_core.process.settings import Settings

LAST_PORT: Final = 65_535


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


def check(loaded: Sequence[Loaded], settings: Settings) -> None:
    """Check, before anything starts, that the endpoints can be served. Raises UsageError."""
    source = settings.redis_source()
    if source is not None:
        check_redis(source)
    if settings.http_target is not None:
        for item in loaded:
            if item.endpoint.spec.worker.http is None:
                raise UsageError(
                    f"--http-target: {item.endpoint.name} runs worker.handlers, not worker.http"
                )
    if settings.http_port and settings.http_port + len(loaded) - 1 > LAST_PORT:
        raise UsageError(f"--port: {len(loaded)} endpoints need ports up to {LAST_PORT}")
