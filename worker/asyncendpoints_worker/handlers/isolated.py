"""Modules of a folder that has names of another one's, imported below a package of their own.

One process has one module of a name. So `jobs` of a second folder is imported as `run:two.jobs`,
and its imports find the modules of its folder first, as if that stood first in sys.path.
"""

from __future__ import annotations

import builtins
import importlib
import sys
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

PREFIX: Final = "run:"
_UNSHARED: Final = ("conftest", "setup", "test_")
"""How names begin that handlers do not import."""


def names_in(folder: Path) -> frozenset[str]:
    """Return the names of the modules and packages in a folder."""
    files = {path.stem for path in folder.glob("*.py")}
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    return frozenset(name for name in files | packages if not name.startswith(_UNSHARED))


def package_for(folder: Path) -> str:
    """Return the package below which the modules of `folder` are imported; it is there then."""
    if not any(isinstance(each, _Finder) for each in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    base, number = PREFIX + folder.name.replace(".", "_"), 1
    name = base
    while name in sys.modules and list(sys.modules[name].__path__) != [str(folder)]:
        number += 1
        name = f"{base}-{number}"
    if name not in sys.modules:
        package = ModuleType(name, f"The modules in {folder}.")
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    return name


class _Finder:
    """Finds what is below such packages."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module, None for all others."""
        if not name.startswith(PREFIX) or path is None:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    """Runs a module whose imports look below its package first."""

    def exec_module(self, module: ModuleType) -> None:
        """Run it."""
        package = module.__name__.partition(".")[0]
        own = {"__import__": _import_below(package)}
        vars(module)["__builtins__"] = {**vars(builtins), **own}
        super().exec_module(module)


def _import_below(package: str) -> Callable[..., ModuleType]:
    def find(
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002 (as __import__ has it)
        locals: Mapping[str, Any] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        top = name.partition(".")[0]
        if level or not _is_below(package, top):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        full = f"{package}.{name}"
        if fromlist:
            return builtins.__import__(full, globals, locals, fromlist, 0)
        importlib.import_module(full)
        return sys.modules[f"{package}.{top}"]

    return find


def _is_below(package: str, top: str) -> bool:
    if f"{package}.{top}" in sys.modules:
        return True
    if top in sys.stdlib_module_names:
        return False
    spec = PathFinder.find_spec(top, sys.modules[package].__path__)
    # A folder without __init__.py comes after every package of that name.
    return spec is not None and (spec.loader is not None or PathFinder.find_spec(top) is None)
