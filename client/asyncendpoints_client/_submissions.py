"""Submitting a job: the request, and what its reply says."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any, Literal

from asyncendpoints_client import _replies
from asyncendpoints_client._retrying import Tries, checked, send
from asyncendpoints_client._steps import Reply, Request

if TYPE_CHECKING:
    from asyncendpoints_client._steps import Steps, Timing

Seconds = float | timedelta
Priority = Literal["high", "normal", "low"]
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a submission; Client.submit documents them."""

    params: Mapping[str, Any] | None = None
    method: str = "POST"
    content_type: str | None = None
    headers: Mapping[str, str] | None = None
    idempotency_key: str | None = None
    delay: Seconds = 0
    priority: Priority | None = None
    expires: Seconds | None = None
    tags: Iterable[str] = ()
    webhook: str | None = None
    wait: float = 0


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a submission returned. `result` is the reply of /result if it came with it."""

    id: str
    idempotency_key: str
    existing: bool
    result: Reply | None = field(default=None, repr=False)


def request(path: str, body: Any, options: Options) -> Request:
    """Return the request of a submission; ValueError or TypeError names what is wrong."""
    if "?" in path or "#" in path:
        raise ValueError(f"path {path!r} has a query or a fragment: use params={{…}}")
    data, kind = encode(body)
    headers = dict(options.headers or {})
    headers["Idempotency-Key"] = options.idempotency_key or str(uuid.uuid4())
    if options.content_type or kind:
        headers["Content-Type"] = options.content_type or kind
    if delay := seconds("delay", options.delay):
        headers["Job-Delay"] = delay
    if options.expires is not None:
        headers["Job-Expires"] = seconds("expires", options.expires) or "0"
    if options.priority is not None:
        headers["Job-Priority"] = options.priority
    if isinstance(options.tags, str):
        raise TypeError(f"tags is a list of texts: tags=[{options.tags!r}]")
    if tags := ",".join(options.tags):
        headers["Job-Tags"] = tags
    if options.webhook is not None:
        headers["Job-Webhook"] = options.webhook
    if options.wait:
        headers["Prefer"] = f"wait={max(1, round(options.wait))}"
    for name, text in headers.items():
        if not (text.isascii() and text.isprintable()):
            raise ValueError(f"header {name}: {text!r} is not printable ASCII")
    return Request(
        options.method,
        "/" + path.removeprefix("/"),
        headers,
        options.params or {},
        data,
        15.0 + options.wait,
    )


def seconds(name: str, value: Seconds) -> str:
    """Return a duration as the gateway reads it, to the millisecond; "" for none."""
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if not 0 <= number < 1e9:
        raise ValueError(f"{name}={value!r} is not a number of seconds from 0 to 999999999")
    exact = Decimal(str(number)).quantize(Decimal("0.001"), ROUND_CEILING)
    return f"{exact.normalize():f}" if exact else ""


def encode(body: Any) -> tuple[bytes | None, str]:
    """Return a body's bytes and its content type: bytes and text are sent as they are.

    An iterator and a file are read to their end. Anything else is JSON: pydantic models,
    dataclasses, and what the json module takes.
    """
    if body is None:
        return None, ""
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body), "application/octet-stream"
    if isinstance(body, str):
        return body.encode(), "text/plain; charset=utf-8"
    if hasattr(body, "read"):
        return encode(body.read())
    if isinstance(body, Iterator):
        parts = [part.encode() if isinstance(part, str) else bytes(part) for part in body]
        return b"".join(parts), "application/octet-stream"
    if hasattr(body, "model_dump_json"):
        return body.model_dump_json(by_alias=True).encode(), JSON
    text = json.dumps(
        body, default=_plain, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )
    return text.encode(), JSON


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(
        f"a body of {type(value).__name__} is not JSON: send text, bytes or plain values"
    )


def submit(sent: Request, timing: Timing, deadline: float, wait: float) -> Steps[Accepted]:
    """Submit until it is accepted or refused for good: each try has the same key and bytes."""
    key = sent.headers["Idempotency-Key"]
    tries = Tries(timing, deadline + wait, key=key)
    reply = yield from send(sent, tries)
    found = _replies.job_id(reply)
    existing = reply.headers.get("job-existing") == "true"
    if reply.status == 202:
        return Accepted(_replies.job(reply, key=key).id, key, existing)
    # What `wait` brought: the job has ended, with a result or without one.
    if found and "preference-applied" in reply.headers and reply.status in (200, 409):
        return Accepted(found, key, existing, reply)
    checked(reply, tries)
    raise AssertionError  # checked raises: no status is accepted


def without_result(accepted: Accepted) -> Accepted:
    """Return the same without the result that came with it."""
    return dataclasses.replace(accepted, result=None)
