"""How a handler is called: how many arguments it takes, and whether it is async.

Determined once at start: what cannot be called is refused with the reason.
"""

from __future__ import annotations

import inspect
import typing
from dataclasses import dataclass
from functools import partial
from types import MethodType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_core.errors import UsageError
from asyncendpoints_worker.handlers.bodies import Decode, decoder
from asyncendpoints_worker.handlers.context import JobContext
from asyncendpoints_worker.handlers.registry import CACHED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncendpoints_worker.handlers.registry import Declaration

_POSITIONAL: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)
_SHAPES: Final = "use (body, job), (body) or ()"
_BOUND: Final = 'use a bound method: handler("name")(instance.method)'


@dataclass(frozen=True, slots=True)
class Signature:
    """`arity` is 0, 1 (body) or 2 (body, job); `decode` returns the body of a request."""

    arity: int
    is_async: bool
    decode: Decode


def read(declared: Declaration) -> Signature:
    """Return how to call a handler; UsageError, with its location, if it cannot be called."""
    try:
        return _read(declared.function)
    except UsageError as error:
        raise UsageError(f'handler "{declared.name}" ({declared.location}): {error}') from error


def _read(function: Callable[..., Any]) -> Signature:
    if isinstance(function, type):
        raise UsageError("it is a class; use a function, or an object that can be called")
    if not callable(function):
        raise UsageError(f"it is a {type(function).__name__}, which cannot be called; {_BOUND}")
    if _keeps_coroutines(function):
        raise UsageError(
            "lru_cache keeps its coroutine, which can be awaited once only; cache what it calls"
        )
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise UsageError(f"its signature cannot be read: {error}") from error
    needed = _needed(function, parameters)
    if not needed:
        return Signature(0, _is_async(function), decoder(Any))
    if _is_context(needed[0].annotation):
        raise UsageError("its first argument is the body; use (body, job)")
    for each in needed[1:]:
        if _cannot_be_context(_hint(function, each)):
            shown = inspect.formatannotation(each.annotation)
            raise UsageError(f"its second argument is a JobContext, not {shown}")
    body = _resolved(function, needed[0].annotation, "body")
    return Signature(len(needed), _is_async(function), decoder(body))


def hints(function: Callable[..., Any]) -> tuple[Any, Any]:
    """Return the types of the body and of the result; Any for what is not annotated.

    Raises UsageError for an annotation that cannot be resolved.
    """
    found = inspect.signature(function)
    needed = _needed(function, list(found.parameters.values()))
    body = _resolved(function, needed[0].annotation, "body") if needed else Any
    return body, return_hint(function)


def return_hint(function: Callable[..., Any]) -> Any:
    """Return the type of the result, Any if there is none; UsageError if it is not resolved."""
    return _resolved(function, inspect.signature(function).return_annotation, "return")


def _needed(
    function: Callable[..., Any], parameters: Sequence[inspect.Parameter]
) -> list[inspect.Parameter]:
    """Return the parameters that are passed: the body, and `job`."""
    positional = [each for each in parameters if each.kind in _POSITIONAL]
    if positional and positional[0].name in ("self", "cls"):
        raise UsageError(f"it is a method, whose {positional[0].name} nothing provides; {_BOUND}")
    needed = positional[:1] + [each for each in positional[1:] if _is_wanted(function, each)]
    for each in parameters:
        if each.kind is inspect.Parameter.KEYWORD_ONLY:
            if each.default is inspect.Parameter.empty:
                raise UsageError(f"it cannot take {each.name} by keyword only; {_SHAPES}")
        elif each.kind not in _POSITIONAL:
            raise UsageError(f"it cannot take {each}; {_SHAPES}, and functools.wraps in decorators")
    if len(needed) > 2:
        raise UsageError(f"it takes {len(needed)} arguments; {_SHAPES}")
    return needed


def _is_wanted(function: Callable[..., Any], parameter: inspect.Parameter) -> bool:
    """Return whether a parameter after the first is passed: not if it has a default, unless it is
    called `job` or annotated as the job.
    """
    if parameter.default is inspect.Parameter.empty or parameter.name == "job":
        return True
    return _is_context(parameter.annotation) or _is_context(_hint(function, parameter))


def _is_async(function: Callable[..., Any]) -> bool:
    while isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004  # an instance whose __call__ is async
    )


def _keeps_coroutines(function: Any) -> bool:
    """Return whether it is an async function below functools.lru_cache."""
    cached = False
    while isinstance(function, partial | staticmethod | CACHED):
        cached = cached or isinstance(function, CACHED)
        function = function.func if isinstance(function, partial) else function.__wrapped__
    return cached and _is_async(function)


def _is_context(annotation: Any) -> bool:
    """Return whether an annotation is JobContext, which may be imported for type checkers only."""
    if isinstance(annotation, str):
        names = {part.strip().rpartition(".")[2] for part in annotation.split("|")}
        return names - {"None"} == {"JobContext"}
    return annotation is JobContext or JobContext in typing.get_args(annotation)


def _cannot_be_context(hint: Any) -> bool:
    """Return whether a type has nothing to do with JobContext. A protocol may describe it."""
    if hint is Any or not isinstance(hint, type) or getattr(hint, "_is_protocol", False):
        return False
    return typing.get_origin(hint) is None and not issubclass(JobContext, hint)


def _hint(function: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """Return the type of a parameter that needs none: Any if its annotation cannot be resolved."""
    try:
        return _resolve(function, parameter.annotation)
    except Exception:
        return Any


def _resolved(function: Callable[..., Any], annotation: Any, what: str) -> Any:
    try:
        return _resolve(function, annotation)
    except NameError as error:
        raise UsageError(
            f"its {what} annotation cannot be resolved: {error}; define or import it at the top "
            "of the module, and not under TYPE_CHECKING"
        ) from error
    except Exception as error:
        raise UsageError(f"its {what} annotation cannot be resolved: {error}") from error


def _resolve(function: Callable[..., Any], annotation: Any) -> Any:
    """Resolve one annotation: others, and the return type, may name what is not imported."""
    if annotation is inspect.Parameter.empty:
        return Any
    plain = _plain_function(function)
    owner = SimpleNamespace(
        __annotations__={"body": annotation}, __type_params__=getattr(plain, "__type_params__", ())
    )
    namespace = getattr(plain, "__globals__", {})
    return typing.get_type_hints(owner, namespace, include_extras=True)["body"]


def _plain_function(function: Any) -> Any:
    """Return the function in which the annotations of a callable were written."""
    while True:
        if isinstance(function, partial):
            function = function.func
        elif isinstance(function, MethodType):
            function = function.__func__
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif not hasattr(function, "__globals__") and inspect.isfunction(type(function).__call__):
            function = type(function).__call__
        else:
            return function
