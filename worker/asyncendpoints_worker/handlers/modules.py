"""Importing an endpoint's handler modules into its registry; every fault is one clear line."""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig
import time
import traceback
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_core.errors import UsageError
from asyncendpoints_worker.handlers import isolated
from asyncendpoints_worker.handlers.registry import Declaration, Registry, declared_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

EXITS: Final = (SystemExit, KeyboardInterrupt, GeneratorExit)
"""What user code may raise that `except Exception` does not catch: it fails that code alone."""
LOADED: Final = "__asyncendpoints_loaded__"
"""The global variable of a handler module that holds its `_Loaded`. The state of this module is
kept in the modules it imported, so that it ends with them.
"""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """How a module was loaded first: what its import declared, imports of its own included (a
    second endpoint that names the module finds it imported), the folders searched, and the package
    below which their modules are, or "".
    """

    declarations: tuple[Declaration, ...]
    folders: tuple[Path, ...]
    package: str


def load(modules: Sequence[str], folders: Sequence[Path]) -> Registry:
    """Import `modules`, looking in `folders` first, and return what they declare.

    A folder with names of modules that another one has, from which this process has handlers, has
    its modules below a package of their own. Raises UsageError when a module cannot be imported,
    when a name is handled twice, and when a module has the name of one that is imported already.
    """
    wanted = tuple(folder.resolve() for folder in folders)
    isolated.FOLDERS.update(wanted)
    package = _own_package(wanted)
    for folder in reversed(wanted):
        if str(folder) in sys.path:
            sys.path.remove(str(folder))
        sys.path.insert(len(sys.path) if package else 0, str(folder))
    importlib.invalidate_caches()  # Python may remember that a folder, or a file, did not exist
    found: dict[int, Declaration] = {}
    for name in modules:
        if not package:
            _refuse_namesake(name, wanted)
        for declaration in _import(name, wanted, package):
            found[id(declaration)] = declaration
    if not package:
        _refuse_namesakes(wanted)
    return Registry.of(sorted(found.values(), key=lambda each: each.declared_ns))


def imported(name: str, folder: Path) -> ModuleType:
    """Return the module `name` that `load` imported from `folder`."""
    package = _packages().get(folder.resolve(), "")
    return sys.modules[isolated.full_name(package, name)]


def _own_package(folders: tuple[Path, ...]) -> str:
    """Return the package of the modules of a folder whose names another folder has too, or "".

    It stays that of the folder's first load, whatever is loaded later.
    """
    if len(folders) != 1:
        return ""
    [folder] = folders
    known = _packages()
    if folder in known:
        apart = bool(known[folder])
    else:
        apart = any(isolated.share_names(folder, other) for other in known)
    return isolated.package_for(folder) if apart else ""


def _import(name: str, folders: tuple[Path, ...], package: str) -> list[Declaration]:
    began = time.monotonic_ns()
    try:
        module = importlib.import_module(isolated.full_name(package, name))
    except UsageError as error:
        raise UsageError(f"worker.handlers: {name}: {error}{_location(error)}") from error
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise UsageError(
            f"worker.handlers: cannot import {name}: "
            f"{_describe(error)}{_location(error)}{_hint(name, error, folders)}"
        ) from error
    _refuse_other(name, module, folders)
    loaded: _Loaded | None = vars(module).get(LOADED)
    if loaded is None:
        declared = (each for each in _all_declarations() if each.declared_ns >= began)
        loaded = _Loaded(tuple(declared), folders, package)
        setattr(module, LOADED, loaded)
    return [*loaded.declarations, *_visible_in(module)]


def _hint(name: str, error: BaseException, folders: tuple[Path, ...]) -> str:
    """Return what to write if it is the module itself that does not exist."""
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing is None or not f"{name}.".startswith(f"{isolated.plain_name(missing)}."):
        return ""
    if name.endswith(".py"):
        return f"; write {name.removesuffix('.py')}"
    looked = f"; looked in {', '.join(map(str, folders))} and the packages of {sys.executable}"
    files = (folder / f"{name.replace('.', '/')}.py" for folder in folders)
    return "".join((looked, *(f"; {file} does not exist" for file in files)))


def _all_declarations() -> Iterator[Declaration]:
    for module in list(sys.modules.values()):
        yield from declared_in(module)


def _visible_in(module: ModuleType) -> Iterator[Declaration]:
    """Yield what was declared in `module`, below it, or in what it imported by name."""
    below = module.__name__ + "."
    shown = [module, *(each for each in vars(module).values() if isinstance(each, ModuleType))]
    shown += [each for name, each in list(sys.modules.items()) if name.startswith(below)]
    for each in shown:
        yield from declared_in(each)
    functions = {id(value) for value in vars(module).values()}
    for declaration in _all_declarations():
        if id(declaration.function) in functions:
            yield declaration


def startup_error(function: Callable[..., Any], error: BaseException) -> UsageError:
    """Return the error to report for an `@on_startup` function that raised `error`."""
    name = getattr(function, "__qualname__", repr(function))
    return UsageError(
        f"worker.handlers: @on_startup {name} of {function.__module__} failed: "
        f"{_describe(error)}{_location(error)}"
    )


def _describe(error: BaseException) -> str:
    """Return the error's type and text in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith(isolated.PREFIX):
        text = text.replace((error.name or "").partition(".")[0] + ".", "", 1)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _location(error: BaseException) -> str:
    """Return ` (file:line)` of the user's line that raised, or nothing."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}:{error.lineno})"
    frames = [
        frame
        for frame in reversed(traceback.extract_tb(error.__traceback__))
        if "importlib" not in frame.filename
        and not frame.filename.startswith(str(Path(__file__).parent))
    ]
    libraries = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib"))
    own = [frame for frame in frames if not frame.filename.startswith(libraries)]
    for frame in own or frames:
        return f" ({frame.filename}:{frame.lineno})"
    return ""


def _refuse_namesake(name: str, folders: Sequence[Path]) -> None:
    """Raise UsageError if `name` was imported from elsewhere although `folders` contain it.

    Modules that are built into Python, and the program itself, have no file to compare.
    """
    top = name.partition(".")[0]
    imported = sys.modules.get(top)
    spec = PathFinder.find_spec(top, [str(folder) for folder in folders])
    if imported is None or spec is None:
        return
    here, there = _paths(spec.origin, spec.submodule_search_locations), _imported_paths(imported)
    if here and not here & there:
        other = min(there, default="one of Python")
        raise UsageError(
            f'two modules are called "{top}": {other} and {min(here)}; rename one of them'
        )


def _refuse_namesakes(folders: Sequence[Path]) -> None:
    """Raise UsageError if a module imported from another endpoint's folder is in `folders` too."""
    others = _packages().keys() - set(folders)
    for name, module in list(sys.modules.items()):
        if not others or name.startswith(isolated.PREFIX):
            continue
        if "." not in name:
            if any(Path(path).parent in others for path in _imported_paths(module)):
                _refuse_namesake(name, folders)
        elif not others.isdisjoint(Path(_file(module) or "/").parents):
            _refuse_other(name, module, folders)


def _refuse_other(name: str, module: ModuleType, folders: Sequence[Path]) -> None:
    """Raise UsageError if `module` is from elsewhere although `folders` have one of its name."""
    steps, file = name.replace(".", os.sep), _file(module)
    files = [folder / f"{steps}{end}" for folder in folders for end in (".py", "/__init__.py")]
    own = [each for each in files if each.is_file()]
    if own and file and Path(file).parent.resolve() not in [each.parent.resolve() for each in own]:
        raise UsageError(
            f'two modules are called "{name}": {file} and {own[0]}; rename one of them'
        )


def _packages() -> dict[Path, str]:
    """Return the folders from which this process has handlers, each with its package or ""."""
    marks = (getattr(module, LOADED, None) for module in list(sys.modules.values()))
    loads = [each for each in marks if isinstance(each, _Loaded)]
    now = {folder: loaded.package for loaded in loads for folder in loaded.folders}
    return {**now, **isolated.FORGOTTEN}


def _file(module: object) -> str | None:
    file = vars(module).get("__file__") if isinstance(module, ModuleType) else None
    return file if isinstance(file, str) else None


def _imported_paths(module: ModuleType) -> set[str]:
    return _paths(getattr(module, "__file__", None), getattr(module, "__path__", None))


def _paths(origin: str | None, locations: object) -> set[str]:
    """Return the folders of a package, or the file of a plain module, with links resolved."""
    if locations:
        return {str(Path(each).resolve()) for each in locations}  # type: ignore[attr-defined]
    return {str(Path(origin).resolve())} if origin and origin.endswith((".py", ".so")) else set()


def forget(folders: Sequence[Path]) -> None:
    """Make the next `load` import the user's modules in `folders` again (`run --reload`).

    A virtual environment inside such a folder is left alone, and so are these packages.
    """
    homes = [folder.resolve() for folder in folders]
    isolated.FORGOTTEN.update(_packages())
    for name, module in list(sys.modules.items()):
        if name.startswith("asyncendpoints_") or (
            name.startswith(isolated.PREFIX) and "." not in name
        ):
            continue
        if any(_is_own(Path(path), home) for path in _imported_paths(module) for home in homes):
            del sys.modules[name]
    importlib.invalidate_caches()


def _is_own(path: Path, home: Path) -> bool:
    if home not in path.parents:
        return False
    steps = path.relative_to(home).parts
    return "site-packages" not in steps and not any(step.startswith(".") for step in steps)
