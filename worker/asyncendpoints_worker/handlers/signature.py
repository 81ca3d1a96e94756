"""How a handler is called: how many arguments it takes and how its body is decoded.

Determined once at start. Error messages about a body name its fields and never show a value.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from typing import TYPE_CHECKING, Any, Final

import msgspec

from asyncendpoints_core.errors import PermanentError, UsageError
from asyncendpoints_core.jobs.records import ErrorCode
from asyncendpoints_worker.handlers.context import JobContext

if TYPE_CHECKING:
    from asyncendpoints_core.jobs.records import Request
    from asyncendpoints_worker.handlers.registry import Declaration


Decode = Callable[["Request"], Any]

MAX_FAULTS_SHOWN: Final = 10
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_any_json = msgspec.json.Decoder()
_object = msgspec.json.Decoder(dict)


class InvalidPayload(PermanentError):
    """The body does not match the handler's annotation."""

    def __init__(self, message: str) -> None:
        """Keep the message, which names fields and shows no value."""
        super().__init__(message, code=ErrorCode.INVALID_PAYLOAD)


@dataclass(frozen=True, slots=True)
class Signature:
    """`arity` is 0, 1 (body) or 2 (body, job); `decode` returns the body of a request."""

    arity: int
    is_async: bool
    decode: Decode


def read(declared: Declaration) -> Signature:
    """Return how to call a handler; UsageError, with its location, if it cannot be called."""
    function = declared.function
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise _refused(declared, f"its signature cannot be read: {error}") from error
    positional = [each for each in parameters if each.kind in _POSITIONAL]
    needed = positional[:1] + [each for each in positional[1:] if _is_wanted(each)]
    for each in parameters:
        if each.kind not in _POSITIONAL and each.default is inspect.Parameter.empty:
            raise _refused(declared, f"it cannot take {each}; use (body, job), (body) or ()")
    if len(needed) > 2:
        raise _refused(declared, f"it takes {len(needed)} arguments; use (body, job), (body) or ()")
    hints = _hints(declared, needed)
    annotation = hints.get(needed[0].name, Any) if needed else Any
    if annotation is JobContext:
        raise _refused(declared, "its first argument is the body; use (body, job)")
    return Signature(len(needed), _is_async(function), _decoder(declared, annotation))


def _is_wanted(parameter: inspect.Parameter) -> bool:
    """Return whether a parameter after the first is passed: not if it has a default, but `job`."""
    return parameter.default is inspect.Parameter.empty or parameter.name == "job"


def _refused(declared: Declaration, why: str) -> UsageError:
    return UsageError(f'handler "{declared.name}" ({declared.location}): {why}')


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004  # an instance whose __call__ is async
    )


def _hints(declared: Declaration, needed: list[inspect.Parameter]) -> dict[str, Any]:
    if all(not isinstance(each.annotation, str) for each in needed):
        return {
            each.name: each.annotation
            for each in needed
            if each.annotation is not inspect.Parameter.empty
        }
    try:
        return typing.get_type_hints(inspect.unwrap(declared.function), include_extras=True)
    except Exception as error:
        raise _refused(declared, f"its annotations cannot be resolved: {error}") from error


def _decoder(declared: Declaration, annotation: Any) -> Decode:
    bare, optional = _without_none(annotation)
    decode: Decode
    if bare in (Any, object):
        decode, optional = _decode_any, True
    elif bare is bytes:
        decode = _decode_bytes
    elif bare is str:
        decode = _decode_text
    elif bare in (dict, dict[str, Any], dict[str, object]):
        decode = _decode_object
    else:
        decode = _validator(declared, annotation)

    def of_request(request: Request) -> Any:
        if request.body:
            return decode(request)
        if optional:
            return None
        raise InvalidPayload("the body is empty")

    return of_request


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """Return the annotation without its `| None`, and whether it had one."""
    if annotation is None or annotation is type(None):
        return type(None), True
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return annotation, False
    members = typing.get_args(annotation)
    rest = [each for each in members if each is not type(None)]
    if len(rest) == len(members):
        return annotation, False
    return (rest[0] if len(rest) == 1 else annotation), True


def _decode_any(request: Request) -> Any:
    try:
        return _any_json.decode(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidPayload(_json_fault(error)) from None


def _decode_object(request: Request) -> Any:
    try:
        return _object.decode(request.body)
    except msgspec.ValidationError:
        raise InvalidPayload("the body is not a JSON object") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidPayload(_json_fault(error)) from None


def _json_fault(error: Exception) -> str:
    if isinstance(error, msgspec.DecodeError) and "truncated" in str(error):
        return "the body is not JSON: it ends too early"
    return "the body is not JSON"


def _decode_bytes(request: Request) -> bytes:
    return request.body


def _decode_text(request: Request) -> str:
    charset = charset_of(request.content_type)
    try:
        return request.body.decode(charset)
    except LookupError:
        raise InvalidPayload("the charset of the body is not known") from None
    except UnicodeError:
        raise InvalidPayload("the body is not text in its charset") from None


def charset_of(content_type: str) -> str:
    """Return the charset parameter of a Content-Type, `utf-8` unless given (RFC 9110 §8.3)."""
    if "charset" not in content_type.lower():
        return "utf-8"
    message = Message()
    message["content-type"] = content_type
    charset = message.get_param("charset")
    return charset if isinstance(charset, str) else "utf-8"


def _validator(declared: Declaration, annotation: Any) -> Decode:
    import pydantic  # imported only where needed: it takes 0.1 s

    try:
        adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(annotation)
    except Exception as error:
        reason = " ".join(str(error).splitlines()[:1])
        raise _refused(declared, f"its body annotation cannot be validated: {reason}") from error
    validate = adapter.validator.validate_json

    def decode(request: Request) -> Any:
        try:
            return validate(request.body)
        except pydantic.ValidationError as error:
            raise InvalidPayload(_faults(error)) from None

    return decode


def _faults(error: Any) -> str:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [
        f"{'.'.join(str(part) for part in fault['loc']) or 'body'}: {_without_values(fault)}"
        for fault in faults[:MAX_FAULTS_SHOWN]
    ]
    if len(faults) > MAX_FAULTS_SHOWN:
        shown.append(f"and {len(faults) - MAX_FAULTS_SHOWN} more")
    return "; ".join(shown)


def _without_values(fault: Any) -> str:
    """Return pydantic's message, cut where it would quote the input."""
    from pydantic_core.core_schema import ErrorType  # as above

    kind = fault["type"]
    if kind not in typing.get_args(ErrorType) or kind in ("value_error", "assertion_error"):
        return "is not accepted"
    if kind == "union_tag_invalid":
        return "has an unknown tag"
    if kind.endswith("_parsing") or kind == "json_invalid":
        return str(fault["msg"]).partition(", ")[0].partition(": ")[0]
    return str(fault["msg"])
