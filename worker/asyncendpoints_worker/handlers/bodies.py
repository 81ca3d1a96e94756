"""How the body of a request becomes the value that a handler's annotation describes.

Determined once at start. Messages about a body name its fields and never show a value.
"""

from __future__ import annotations

import codecs
import re
import typing
from collections.abc import Callable
from email.message import Message
from typing import TYPE_CHECKING, Any, Final

import msgspec

from asyncendpoints_core.errors import PermanentError, UsageError
from asyncendpoints_core.jobs.records import ErrorCode
from asyncendpoints_core.resource.schemas import BYTE_ORDER_MARK
from asyncendpoints_worker.handlers.annotations import bare, uses_struct, without_none

if TYPE_CHECKING:
    import pydantic

    from asyncendpoints_core.jobs.records import Request

Decode = Callable[["Request"], Any]

MAX_FAULTS_SHOWN: Final = 10
_any_json = msgspec.json.Decoder()
_object = msgspec.json.Decoder(dict)


class InvalidPayload(PermanentError):
    """The body does not match the handler's annotation."""

    def __init__(self, message: str) -> None:
        """Keep the message, which names fields and shows no value."""
        super().__init__(message, code=ErrorCode.INVALID_PAYLOAD)


def decoder(annotation: Any) -> Decode:
    """Return what decodes bodies for `annotation`; UsageError, with the reason, if none can."""
    kind, checked = bare(annotation)
    kind, optional = without_none(kind)
    kind, checked_within = bare(kind)
    checked = checked or checked_within
    decode: Decode
    if isinstance(kind, typing.TypeVar):
        raise UsageError(f"its body annotation {kind} is a type variable; name the type")
    if kind in (Any, object):
        decode, optional = _validator(annotation) if checked else _decode_any, True
    elif kind in (bytes, str):
        decode = _decode_bytes if kind is bytes else _decode_text
        if checked:
            decode = _checked(annotation, decode)
    elif kind in (dict, dict[str, Any], dict[str, object]) and not checked:
        decode = _decode_object
    elif uses_struct(annotation):
        decode = _struct_decoder(annotation)
    else:
        decode = _validator(annotation)

    def of_request(request: Request) -> Any:
        if request.body:
            return decode(request)
        if optional:
            return None
        raise InvalidPayload("the body is empty")

    return of_request


def _decode_any(request: Request) -> Any:
    try:
        return _any_json.decode(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidPayload(_json_fault(request.body, error)) from None


def _decode_object(request: Request) -> Any:
    try:
        return _object.decode(request.body)
    except msgspec.ValidationError:
        raise InvalidPayload("the body is not a JSON object") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidPayload(_json_fault(request.body, error)) from None


def _json_fault(body: bytes, error: Exception) -> str:
    if body.startswith(codecs.BOM_UTF8):
        return BYTE_ORDER_MARK
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


def _struct_decoder(annotation: Any) -> Decode:
    """Return what decodes JSON for msgspec.Struct types."""
    try:
        decode = msgspec.json.Decoder(annotation).decode
    except TypeError as error:
        raise UsageError(f"its body annotation cannot be validated: {error}") from error

    def decoded(request: Request) -> Any:
        try:
            return decode(request.body)
        except msgspec.ValidationError as error:
            raise InvalidPayload(struct_fault(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidPayload(_json_fault(request.body, error)) from None

    return decoded


_AT: Final = re.compile(r" - at `(?:key in )?\$\.?(.*)`\Z", re.DOTALL)
_VALUE_QUOTED: Final = re.compile(r"Invalid (enum )?value|Invalid .*tag", re.IGNORECASE)


def struct_fault(error: msgspec.ValidationError) -> str:
    """Return msgspec's message as `field: what is wrong`, without the values it may quote."""
    text = str(error)
    where = _AT.search(text)
    said = text[: where.start()] if where else text
    field = re.sub(r"\[(\.\.\.|\d+)\]", r".\1", where[1]).strip(".") if where else ""
    if not re.match(r"Expected |Object (missing|contains) ", said) or _VALUE_QUOTED.match(said):
        said = "is not accepted"
    return f"{field or 'body'}: {said}"


def adapter(annotation: Any, what: str = "body") -> pydantic.TypeAdapter[Any]:
    """Return pydantic's adapter; UsageError if the type of the body (or `what`) has none."""
    import pydantic  # imported only where needed: it takes 0.1 s

    try:
        return pydantic.TypeAdapter(annotation)
    except Exception as error:
        reason = " ".join(str(error).splitlines()[:1]).partition(" Set `arbitrary_types")[0]
        raise UsageError(f"its {what} annotation cannot be validated: {reason}") from error


def _validator(annotation: Any) -> Decode:
    """Return what validates JSON."""
    import pydantic  # as above

    validate = adapter(annotation).validator.validate_json

    def decoded(request: Request) -> Any:
        try:
            return validate(request.body)
        except pydantic.ValidationError as error:
            if request.body.startswith(codecs.BOM_UTF8):
                raise InvalidPayload(BYTE_ORDER_MARK) from None
            raise InvalidPayload(faults_of(error)) from None

    return decoded


def _checked(annotation: Any, decode: Decode) -> Decode:
    """Return what checks bytes or text against constraints: `Annotated[bytes, Len(…)]`."""
    return _validated(adapter(annotation).validator.validate_python, decode)


def _validated(validate: Callable[[Any], Any], decode: Decode) -> Decode:
    import pydantic  # as above

    def decoded(request: Request) -> Any:
        try:
            return validate(decode(request))
        except pydantic.ValidationError as error:
            raise InvalidPayload(faults_of(error)) from None

    return decoded


def faults_of(error: Any) -> str:
    """Return pydantic's faults as `field: what is wrong`, without any value."""
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
