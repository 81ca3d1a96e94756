"""Which function runs which job: what `@handler` declares, and the registry of one endpoint.

A declaration is remembered with the module that made it, because a module shared by two endpoints
is imported once and belongs to both. Importing the modules is modules.py.
"""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from asyncendpoints_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    AnyFunction = Callable[..., Any]
    F = TypeVar("F", bound=AnyFunction)

HANDLER: Final = "handler"
STARTUP: Final = "startup"
SHUTDOWN: Final = "shutdown"


@dataclass(frozen=True, slots=True)
class Declaration:
    """One use of a decorator: `kind`, the job's name (handlers only), the function, its place."""

    kind: str
    name: str
    function: AnyFunction
    module: str
    place: str


declarations: list[Declaration] = []


def _declare(kind: str, name: str, function: AnyFunction) -> None:
    caller = sys._getframe(2)
    place = f"{caller.f_code.co_filename}:{caller.f_lineno}"
    module = str(caller.f_globals.get("__name__", ""))
    declarations.append(Declaration(kind, name, function, module, place))


def handler(name: str) -> Callable[[F], F]:
    """Let the decorated function run the jobs called `name`; the function is returned unchanged.

    It takes `(body, job)`, `(body)` or nothing; see docs/handlers.md. Raises UsageError at import
    for what can never run: a generator, or a name that is no text.
    """
    if not (name and isinstance(name, str)):
        raise UsageError('write @handler("name"): the name of the job is missing')

    def declare(function: F) -> F:
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            raise UsageError(
                f'handler "{name}" is a generator: return the whole result instead of yielding it'
            )
        _declare(HANDLER, name, function)
        return function

    return declare


def on_startup(function: F) -> F:
    """Run the function, plain or async and without arguments, once a child before its first job."""
    _declare(STARTUP, "", function)
    return function


def on_shutdown(function: F) -> F:
    """Run the function, plain or async and without arguments, once a child after its last job."""
    _declare(SHUTDOWN, "", function)
    return function


@dataclass(slots=True)
class Registry:
    """The handlers of one endpoint, by job name, and what runs around them."""

    handlers: dict[str, Declaration] = field(default_factory=dict)
    startup: list[AnyFunction] = field(default_factory=list)
    shutdown: list[AnyFunction] = field(default_factory=list)

    def add(self, declaration: Declaration) -> None:
        """Take a declaration in; UsageError if another function already has its name."""
        if declaration.kind != HANDLER:
            hooks = self.startup if declaration.kind == STARTUP else self.shutdown
            if declaration.function not in hooks:
                hooks.append(declaration.function)
            return
        other = self.handlers.setdefault(declaration.name, declaration)
        if other.function is not declaration.function:
            raise UsageError(
                f'job "{declaration.name}" has two handlers: {other.place} and {declaration.place}'
            )

    @classmethod
    def of(cls, declared: Iterable[Declaration]) -> Registry:
        """Build a registry; UsageError at a duplicate name."""
        registry = cls()
        for declaration in declared:
            registry.add(declaration)
        return registry
