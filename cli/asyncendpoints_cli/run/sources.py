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


def load_sources(names: Sequence[str]) -> tuple[Loaded, ...]:
    """Load every endpoint, files first. Raises UsageError, with the faults of files on stderr."""
    code = [name for name in names if is_code(name) and not Path(name).exists()]
    files = [name for name in names if name not in code]
    loaded = load_all(files) if files else ()
    found = (replace(each, file=each.file.absolute()) for each in loaded)
    return (*found, *(_in_code(name) for name in code))


def absolute(names: Sequence[str]) -> list[str]:
    """Return the names as they stay valid if user code changes the working directory."""
    return [str(Path(name).absolute()) if Path(name).exists() else name for name in names]


def _in_code(name: str) -> Loaded:
    """Return an Endpoint as if a file in the current directory had it."""
    endpoint = find(name)
    document = Document(name, Position(0, 0), endpoint.document())
    return Loaded(endpoint.resource(), Path.cwd() / name, document)


def forget_code(names: Sequence[str]) -> None:
    """Make the next `load_sources` import the modules of Endpoints in code again."""
    if any(is_code(name) for name in names):
        modules.forget([Path.cwd()])
