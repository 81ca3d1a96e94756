"""Jobs that a handler enqueues: checked at the call, created when the attempt completes."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_core.common.time_source import TimeSource
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import (
    MAX_CHILDREN,
    MAX_CHILDREN_BYTES,
    Attributes,
    NewJob,
    Priority,
    Request,
)
from asyncendpoints_worker.handlers import json_results

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncendpoints_core.jobs.records import ClaimedJob

MAX_DELAY_SECONDS: Final = 999_999_999.999
MAX_TAGS: Final = 10
MAX_KEY_BYTES: Final = 64
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9._:/=-]{1,64}", re.ASCII)
_HEADER_TEXT = re.compile(r"[\t\x20-\x7e]{1,255}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_PRIORITIES: Final[Mapping[str, Priority]] = MappingProxyType(
    {each.name.lower(): each for each in Priority}
)


@dataclass(frozen=True, slots=True)
class EnqueueRules:
    """What the attempts of one engine share. `names` are the jobs that the endpoint has, None for
    any; `lock` guards what an attempt has enqueued: handlers may do so from several threads.
    """

    time: TimeSource
    names: frozenset[str] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


def new_child(
    rules: EnqueueRules,
    claimed: ClaimedJob,
    name: Any,
    body: Any,
    *,
    delay: Any,
    priority: Any,
    key: Any,
    tags: Any,
    content_type: Any,
) -> NewJob:
    """Return the job that the handler of `claimed` enqueues. Raises ValueError or TypeError."""
    _check_name(name, rules.names)
    data, default = encode_body(body)
    if content_type is not None and not (
        isinstance(content_type, str) and _HEADER_TEXT.fullmatch(content_type)
    ):
        raise ValueError("content_type must be printable ASCII of at most 255 characters")
    traceparent = claimed.job.traceparent
    request = Request(
        "POST",
        "",
        headers={"traceparent": traceparent} if traceparent else {},
        content_type=default if content_type is None else content_type,
        body=data,
    )
    attributes = Attributes(tags=_tags(tags), key=_key(key), parent=claimed.job.id)
    return NewJob(
        id=ids.new(rules.time.now_ms()),
        name=name,
        request=request,
        max_attempts=claimed.job.max_attempts,
        priority=_priority(priority),
        delay_ms=_delay_ms(delay),
        attributes=attributes,
    )


def _check_name(name: Any, known: frozenset[str] | None) -> None:
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise ValueError(f"job.enqueue: {name!r} is not the name of a job")
    if known is not None and name not in known:
        names = ", ".join(sorted(known))
        raise ValueError(f'job.enqueue: this endpoint has no job "{name}", only: {names}')


def check_room(enqueued: tuple[NewJob, ...], new: NewJob) -> None:
    """Raise ValueError when an attempt that has `enqueued` these may not enqueue one more."""
    if len(enqueued) == MAX_CHILDREN:
        raise ValueError(f"job.enqueue: an attempt may enqueue at most {MAX_CHILDREN} jobs")
    size = sum(len(each.request.body) for each in (*enqueued, new))
    if size > MAX_CHILDREN_BYTES:
        raise ValueError(
            f"job.enqueue: the bodies of the jobs of an attempt may have {MAX_CHILDREN_BYTES} "
            f"bytes in all; with this one they have {size}"
        )


def encode_body(body: Any) -> tuple[bytes, str]:
    """Return the bytes of a body as a client sends it, and its content type: bytes and text as they
    are, None as an empty body, all else as JSON. Raises ValueError or TypeError.
    """
    if body is None:
        return b"", ""
    if isinstance(body, str):
        return _utf8("the body", body), "text/plain; charset=utf-8"
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body), "application/octet-stream"
    if hasattr(body, "__pydantic_serializer__"):
        return body.__pydantic_serializer__.to_json(body, by_alias=True), "application/json"
    try:
        return json_results.encode(body), "application/json"
    except json_results.NotFinite:
        raise ValueError("the body holds NaN or infinity, which JSON does not have") from None
    except (TypeError, NotImplementedError) as error:
        name = type(body).__name__
        raise TypeError(f"the body of type {name} cannot be JSON: {error}") from None


def _priority(value: Any) -> Priority:
    if value is None:
        return Priority.NORMAL
    found = _PRIORITIES.get(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"priority must be high, normal or low, not {value!r}")
    return found


def _delay_ms(seconds: Any) -> int:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise ValueError(f"delay must be a number of seconds, not {seconds!r}")
    if isinstance(seconds, float) and not math.isfinite(seconds):
        raise ValueError(f"delay must be a number of seconds, not {seconds!r}")
    if not 0 <= seconds <= MAX_DELAY_SECONDS:
        raise ValueError(f"delay must be between 0 and {MAX_DELAY_SECONDS:.0f} s, not {seconds!r}")
    return math.ceil(seconds * 1_000)


def _key(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"key must be text, not {type(value).__name__}")
    size = len(_utf8("key", value))
    if not 1 <= size <= MAX_KEY_BYTES or _CONTROL.search(value):
        raise ValueError(f"key must have 1 to {MAX_KEY_BYTES} bytes and no control characters")
    return value


def _utf8(what: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what} has a lone surrogate, which UTF-8 does not have") from None


def _tags(values: Any) -> tuple[str, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        example = values if isinstance(values, str) else "blue"
        raise TypeError(f"tags must be a list, such as tags=[{example!r}], not {values!r}")
    given = tuple(values)
    found = tuple(dict.fromkeys(tag for tag in given if isinstance(tag, str)))
    valid = all(isinstance(tag, str) and _TAG.fullmatch(tag) for tag in given)
    if len(found) > MAX_TAGS or not valid:
        raise ValueError(
            f"tags must be at most {MAX_TAGS}, each of 1 to 64 letters, digits and . _ : / = -"
        )
    return found
