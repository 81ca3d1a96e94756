"""Modules of a folder that has names of another one's, imported below a package of their own.

One process has one module of a name. So `jobs` of a second folder is imported as `run:two.jobs`,
and its imports find the modules of its folder first, as if that stood first in sys.path.
"""

from __future__ import annotations

import builtins
import importlib
import inspect
import os
import sys
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PREFIX: Final = "run:"
FOLDERS: Final[set[Path]] = set()
"""The folders of all endpoints of this process."""
FORGOTTEN: Final[dict[Path, str]] = {}
"""The packages of folders whose modules are imported again, "" for none: they stay the same."""
_UNSHARED: Final = frozenset({"conftest", "setup", "tests"})
"""What handlers do not import, nor names that begin with `test_`."""


def share_names(one: Path, other: Path) -> bool:
    """Return whether two folders have modules, or folders that contain any, of the same name."""
    return any(_has(one, name) and _has(other, name) for name in _names(one) & _names(other))


def _names(folder: Path) -> frozenset[str]:
    found = {inspect.getmodulename(path) or path.name for path in folder.glob("*")} - _UNSHARED
    return frozenset(
        name for name in found if name.isidentifier() and not name.startswith(("__", "test_"))
    )


def _has(folder: Path, name: str) -> bool:
    files = folder.glob(f"{name}.*")
    return any(inspect.getmodulename(each) == name for each in files) or _has_modules(folder / name)


def _has_modules(folder: Path) -> bool:
    for _, folders, files in os.walk(folder):
        if "pyvenv.cfg" in files:
            folders.clear()
        elif any(name.endswith(".py") for name in files):
            return True
        folders[:] = filter(str.isidentifier, folders)
    return False


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


def plain_name(name: str) -> str:
    """Return what a module is called in its folder."""
    return name.partition(".")[2] if name.startswith(PREFIX) else name


def full_name(package: str, name: str) -> str:
    """Return the name in sys.modules of what is called `name` in the folder of `package`."""
    top = name.partition(".")[0]
    if package and (_is_below(package, top) or _outside(top) is None):
        return f"{package}.{name}"
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
        found = _import_below(package)
        vars(module)["__builtins__"] = _Builtins({**vars(builtins), "__import__": found})
        super().exec_module(module)


class _Builtins(dict[str, Any]):
    """Has names too that are installed into `builtins` later."""

    def __missing__(self, name: str) -> object:
        return vars(builtins)[name]


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
    if top.startswith("__"):
        return False
    if f"{package}.{top}" in sys.modules:
        return True
    spec = PathFinder.find_spec(top, sys.modules[package].__path__)
    if spec is None or _is_of_python(top):
        return False
    # A folder without __init__.py comes after every package of that name.
    return spec.loader is not None or _outside(top) is None


def _is_of_python(top: str) -> bool:
    """Return whether `top` is a module of Python that is imported, which no file replaces then."""
    if top not in sys.stdlib_module_names or top not in sys.modules:
        return top in sys.builtin_module_names
    file = getattr(sys.modules[top], "__file__", None)
    return file is None or FOLDERS.isdisjoint([*Path(file).parents][:2])


def _outside(top: str) -> ModuleSpec | None:
    """Return the spec of a module, or of a package with __init__.py, outside of all endpoints."""
    path = [each for each in sys.path if Path(each).resolve() not in FOLDERS]
    spec = PathFinder.find_spec(top, path)
    return spec if spec is not None and spec.loader is not None else None
