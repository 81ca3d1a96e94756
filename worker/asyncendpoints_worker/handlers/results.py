"""A handler's return value as the bytes and the content type of the HTTP response."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from asyncendpoints_core.errors import PermanentError
from asyncendpoints_core.jobs.records import ErrorCode
from asyncendpoints_core.jobs.records import Result as Stored
from asyncendpoints_worker.handlers import json_results

Plain = Callable[[Any], Stored]
"""Encodes what a handler returned."""

JSON: Final = "application/json"
BYTES: Final = "application/octet-stream"
TEXT: Final = "text/plain; charset=utf-8"
NULL: Final = Stored(JSON, b"null")
_BINARY: Final = (bytes, bytearray, memoryview)
_HEADER_TEXT = re.compile(r"[\t\x20-\x7e]{1,255}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class InvalidResult(PermanentError):
    """The handler's return value cannot be stored."""

    def __init__(self, message: str, code: str = ErrorCode.INVALID_RESULT) -> None:
        super().__init__(message, code=code)


class Result:
    """A result whose content type or file name the handler chooses.

    `body` is bytes, text (sent as UTF-8) or anything JSON can hold; `content_type` defaults to
    what a plain return of the same body would get; `filename` offers the result as a download.
    """

    __slots__ = ("body", "content_type", "filename")

    def __init__(self, body: Any, *, content_type: str = "", filename: str = "") -> None:
        """Raises ValueError for what cannot be sent in a header."""
        if content_type and not _HEADER_TEXT.match(content_type):
            raise ValueError("content_type must be printable ASCII of at most 255 characters")
        if len(filename) > 255 or _CONTROL.search(filename):
            raise ValueError("filename must have at most 255 characters and no control characters")
        if not _is_text(filename):
            raise ValueError("filename must be text that UTF-8 can encode")
        self.body = body
        self.content_type = content_type
        self.filename = filename


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def encode(value: Any, limit: int, plain: Plain | None = None) -> Stored:
    """Return `value` as stored for HTTP; InvalidResult if that fails or exceeds `limit` bytes.

    `plain` encodes what is not a Result in place of `as_returned`.
    """
    if isinstance(value, Result):
        stored = as_returned(value.body)
        content_type, filename = str.__str__(value.content_type), str.__str__(value.filename)
        stored = Stored(content_type or stored.content_type, stored.body, filename)
    elif plain is not None:
        stored = plain(value)
    elif value is None:
        return NULL
    elif type(value) is dict:  # most results
        stored = json_of(value, json_results.encode)
    else:
        stored = as_returned(value)
    if len(stored.body) > limit:
        raise InvalidResult(
            f"the result has {len(stored.body)} bytes, more than the {limit} that "
            "worker.maxResultBytes allows",
            ErrorCode.RESULT_TOO_LARGE,
        )
    return stored


def as_returned(value: Any) -> Stored:
    """Return `value` as stored; the stores take exact types only."""
    if value is None:
        return NULL
    if isinstance(value, str):
        try:
            return Stored(TEXT, str.encode(value))
        except UnicodeEncodeError:
            raise InvalidResult("the result is text that UTF-8 cannot encode") from None
    if isinstance(value, _BINARY):
        return Stored(BYTES, value if type(value) is bytes else bytes(memoryview(value)))
    return json_of(value, json_results.encode)


def json_of(value: Any, encoder: Callable[[Any], bytes]) -> Stored:
    """Return a value as JSON; InvalidResult if `encoder` cannot encode it."""
    try:
        return Stored(JSON, encoder(value))
    except InvalidResult:
        raise
    except json_results.NotFinite:
        raise InvalidResult("the result holds NaN or infinity, which JSON does not have") from None
    except Exception as error:
        raise InvalidResult(
            f"the result of type {type(value).__name__} cannot be JSON: {_reason(error)}"
        ) from error


def _reason(error: Exception) -> str:
    """Return a short reason; never the text of an error that may quote the value."""
    if isinstance(error, TypeError | NotImplementedError):
        return str(error)[:200]
    if isinstance(error, RecursionError):
        return "it is nested too deeply, or contains itself"
    if isinstance(error, UnicodeEncodeError):
        return "it holds text that UTF-8 cannot encode"
    return type(error).__name__
