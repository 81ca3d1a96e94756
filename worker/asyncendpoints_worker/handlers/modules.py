"""Importing an endpoint's handler modules into its registry, with every fault as one clear line."""

from __future__ import annotations

import importlib
import sys
import traceback
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from asyncendpoints_core.errors import UsageError
from asyncendpoints_worker.handlers.registry import Declaration, Registry, declarations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# What the import of each module declared, its own imports included: a second endpoint that names
# the module finds it imported already.
_declared_by: dict[str, list[Declaration]] = {}
_folders: list[Path] = []


def load(modules: Sequence[str], folders: Sequence[Path]) -> Registry:
    """Import `modules`, looking in `folders` first, and return what they declare.

    Raises UsageError when a module cannot be imported, when a name is handled twice, and when two
    folders of this process hold modules of the same name.
    """
    wanted = [folder.resolve() for folder in folders]
    for folder in reversed(wanted):
        if str(folder) in sys.path:
            sys.path.remove(str(folder))
        sys.path.insert(0, str(folder))
    found: dict[int, Declaration] = {}
    for name in modules:
        _refuse_namesake(name, wanted)
        for declaration in _import(name):
            found[id(declaration)] = declaration
    _refuse_namesakes(wanted)
    _folders.extend(folder for folder in wanted if folder not in _folders)
    return Registry.of(found.values())


def _import(name: str) -> list[Declaration]:
    before = len(declarations)
    already = name in sys.modules
    try:
        module = importlib.import_module(name)
    except UsageError as error:
        del declarations[before:]
        raise UsageError(f"worker.handlers: {name}: {error}{_place(error)}") from error
    except (Exception, SystemExit) as error:
        del declarations[before:]
        raise UsageError(
            f"worker.handlers: cannot import {name}: {type(error).__name__}: "
            f"{' '.join(str(error).split())}{_place(error)}"
        ) from error
    if not already or name not in _declared_by:
        _declared_by[name] = declarations[before:]
    return [*_declared_by[name], *_visible_in(module)]


def _visible_in(module: ModuleType) -> Iterator[Declaration]:
    """Yield what was declared in `module`, below it, or in what it imported by name."""
    names = {module.__name__}
    functions = set()
    for value in vars(module).values():
        if isinstance(value, ModuleType):
            names.add(value.__name__)
        functions.add(id(value))
    below = module.__name__ + "."
    for declaration in declarations:
        if (
            declaration.module in names
            or declaration.module.startswith(below)
            or id(declaration.function) in functions
        ):
            yield declaration


def startup_fault(function: Callable[..., Any], error: BaseException) -> UsageError:
    """Return what is told of a function of `@on_startup` that raised `error`."""
    name = getattr(function, "__qualname__", repr(function))
    return UsageError(
        f"worker.handlers: @on_startup {name} of {function.__module__} failed: "
        f"{type(error).__name__}: {' '.join(str(error).split())}{_place(error)}"
    )


def _place(error: BaseException) -> str:
    """Return ` (file:line)` of the user's line that raised, or nothing."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}:{error.lineno})"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if "importlib" not in frame.filename and not frame.filename.startswith(
            str(Path(__file__).parent)
        ):
            return f" ({frame.filename}:{frame.lineno})"
    return ""


def _refuse_namesake(name: str, folders: Sequence[Path]) -> None:
    """Raise UsageError if `name` is imported already, from elsewhere than `folders` hold it."""
    top = name.partition(".")[0]
    loaded = sys.modules.get(top)
    spec = PathFinder.find_spec(top, [str(folder) for folder in folders])
    if loaded is None or spec is None:
        return
    here, there = _paths(spec.origin, spec.submodule_search_locations), _loaded_paths(loaded)
    if here and there and not here & there:
        raise UsageError(
            f'two modules are called "{top}": {min(there)} and {min(here)}; rename one of them'
        )


def _refuse_namesakes(folders: Sequence[Path]) -> None:
    """Raise UsageError if a module imported from another endpoint's folder is in `folders` too."""
    others = [folder for folder in _folders if folder not in folders]
    for name, module in list(sys.modules.items()):
        if "." in name or not others:
            continue
        if any(Path(path).parent in others for path in _loaded_paths(module)):
            _refuse_namesake(name, folders)


def _loaded_paths(module: ModuleType) -> set[str]:
    return _paths(getattr(module, "__file__", None), getattr(module, "__path__", None))


def _paths(origin: str | None, locations: object) -> set[str]:
    """Return the folders of a package, or the file of a plain module, with links resolved."""
    if locations:
        return {str(Path(each).resolve()) for each in locations}  # type: ignore[attr-defined]
    return {str(Path(origin).resolve())} if origin and origin.endswith((".py", ".so")) else set()


def forget(folders: Sequence[Path]) -> None:
    """Let the user's modules in `folders` be imported anew by the next `load` (`run --reload`).

    An environment that stands in such a folder is left alone, and so are these packages.
    """
    homes = [folder.resolve() for folder in folders]
    gone = {
        name
        for name, module in list(sys.modules.items())
        if not name.startswith("asyncendpoints_")
        and any(_is_own(Path(path), home) for path in _loaded_paths(module) for home in homes)
    }
    for name in gone:
        del sys.modules[name]
        _declared_by.pop(name, None)
    declarations[:] = [each for each in declarations if each.module not in gone]
    importlib.invalidate_caches()


def _is_own(path: Path, home: Path) -> bool:
    if home not in path.parents:
        return False
    steps = path.relative_to(home).parts
    return "site-packages" not in steps and not any(step.startswith(".") for step in steps)
