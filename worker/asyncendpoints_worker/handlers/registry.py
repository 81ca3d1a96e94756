"""Which function runs which job: what `@handler` declares, and the registry of one endpoint.

A declaration is stored in the module that makes it, so it lives as long as that module, and a
module that two endpoints import belongs to both. Importing the modules is in modules.py. Everyone
who writes handlers imports this module: it needs neither dataclasses nor inspect, which cost more
time than all else.
"""

from __future__ import annotations

import sys
import time
from functools import lru_cache, partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from asyncendpoints_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import FrameType

    AnyFunction = Callable[..., Any]
    F = TypeVar("F", bound=AnyFunction)

HANDLER: Final = "handler"
STARTUP: Final = "startup"
SHUTDOWN: Final = "shutdown"
DECLARATIONS: Final = "__asyncendpoints_declarations__"
"""The global variable of a module that holds what was declared in it."""
CACHED: Final = type(lru_cache(print))
"""What functools.lru_cache and functools.cache make of a function."""
_YIELDS: Final = 0x20 | 0x200
"""inspect.CO_GENERATOR and CO_ASYNC_GENERATOR."""


class Declaration(NamedTuple):
    """One use of a decorator. `name` is the job's (handlers only), `location` is `file:line`.

    `declared_ns` orders the declarations of several modules without a counter that they share.
    `by_annotation`: results are encoded as the type that the function says it returns.
    """

    kind: str
    name: str
    function: AnyFunction
    location: str
    declared_ns: int = 0
    by_annotation: bool = False


def declared_in(module: object) -> Sequence[Declaration]:
    """Return what was declared in `module`, in order; nothing for what is not a module."""
    if not isinstance(module, ModuleType):
        return ()
    # Not vars(): that would run a module whose import is deferred (importlib.util.LazyLoader).
    found: Sequence[Declaration] = object.__getattribute__(module, "__dict__").get(DECLARATIONS, ())
    return found


def declaration_of(function: AnyFunction) -> Declaration:
    """Return the declaration of a handler as its module has it, or one for a plain function."""
    home = sys.modules.get(getattr(function, "__module__", ""))
    for declared in declared_in(home):
        if declared.kind == HANDLER and declared.function is function:
            return declared
    name = getattr(function, "__name__", type(function).__name__)
    return Declaration(HANDLER, name, function, f"function {name}")


def _declare(kind: str, name: str, function: AnyFunction) -> None:
    declare(sys._getframe(2), kind, name, function)


def declare(
    caller: FrameType, kind: str, name: str, function: AnyFunction, *, by_annotation: bool = False
) -> Declaration:
    """Add a declaration to the module of `caller`, the frame that uses the decorator."""
    location = f"{caller.f_code.co_filename}:{caller.f_lineno}"
    made = Declaration(kind, name, function, location, time.monotonic_ns(), by_annotation)
    caller.f_globals.setdefault(DECLARATIONS, []).append(made)
    return made


def handler(name: str) -> Callable[[F], F]:
    """Make the decorated function run the jobs called `name`; the function is returned unchanged.

    It takes `(body, job)`, `(body)` or nothing; see docs/handlers.md. Raises UsageError at import
    for what can never run: a generator, or a name that is not text.
    """
    if not (name and isinstance(name, str)):
        raise UsageError('write @handler("name"): the name of the job is missing')

    def decorate(function: F) -> F:
        refuse_yield(name, function)
        _declare(HANDLER, name, function)
        return function

    return decorate


def refuse_yield(name: str, function: AnyFunction) -> None:
    """Raise UsageError for a handler that is a generator: calling it would run none of its code."""
    if _is_generator(function):
        raise UsageError(
            f'handler "{name}" is a generator: return the whole result instead of yielding it'
        )


def _is_generator(function: AnyFunction) -> bool:
    """Return whether calling it would run none of its code."""
    while isinstance(function, partial | staticmethod | CACHED):
        function = function.func if isinstance(function, partial) else function.__wrapped__
    routine = isinstance(function, FunctionType | BuiltinFunctionType | MethodType)
    call = function if routine else getattr(function, "__call__", None)  # noqa: B004
    while isinstance(call, partial | MethodType):
        call = call.func if isinstance(call, partial) else call.__func__
    return isinstance(call, FunctionType) and bool(call.__code__.co_flags & _YIELDS)


def _refuse_generator(decorator: str, function: AnyFunction) -> None:
    if _is_generator(function):
        raise UsageError(
            f"@{decorator} {getattr(function, '__name__', function)} is a generator: write an "
            "@on_startup and an @on_shutdown function"
        )


def on_startup(function: F) -> F:
    """Run the function, plain or async and without arguments, once per process before its jobs."""
    _refuse_generator("on_startup", function)
    _declare(STARTUP, "", function)
    return function


def on_shutdown(function: F) -> F:
    """Run the function, plain or async and without arguments, once per process after its jobs."""
    _refuse_generator("on_shutdown", function)
    _declare(SHUTDOWN, "", function)
    return function


class Registry:
    """The handlers of one endpoint by job name, and its start-up and shut-down functions."""

    __slots__ = ("handlers", "shutdown", "startup")

    def __init__(self) -> None:
        self.handlers: dict[str, Declaration] = {}
        self.startup: list[AnyFunction] = []
        self.shutdown: list[AnyFunction] = []

    def add(self, declaration: Declaration) -> None:
        """Add a declaration; UsageError if another function already has its name."""
        if declaration.kind != HANDLER:
            hooks = self.startup if declaration.kind == STARTUP else self.shutdown
            if declaration.function not in hooks:
                hooks.append(declaration.function)
            return
        other = self.handlers.setdefault(declaration.name, declaration)
        if other.function is not declaration.function:
            raise UsageError(
                f'job "{declaration.name}" has two handlers: '
                f"{other.location} and {declaration.location}"
            )

    @classmethod
    def of(cls, declared: Iterable[Declaration]) -> Registry:
        """Build a registry; UsageError for a duplicate name."""
        registry = cls()
        for declaration in declared:
            registry.add(declaration)
        return registry
