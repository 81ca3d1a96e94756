"""A submission as values: its headers, its options, the check of its body, and the job it becomes.

Nothing here waits: submit.py has the view, which does.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import (
    NO_ATTRIBUTES,
    Attributes,
    Idempotency,
    NewJob,
    OnConflict,
    Priority,
)
from asyncendpoints_core.jobs.records import Request as StoredRequest
from asyncendpoints_core.process.telemetry import parse_traceparent
from asyncendpoints_core.resource.schemas import is_valid, nodes_within
from asyncendpoints_gateway.http.bodies import check_body, is_json, parse, require_json
from asyncendpoints_gateway.http.headers import idempotency_key, priority, seconds_ms, tags
from asyncendpoints_gateway.http.named_values import key_of
from asyncendpoints_gateway.http.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncendpoints_gateway.config import RouteConfig
    from asyncendpoints_gateway.http.messages import Headers
    from asyncendpoints_gateway.http.named_values import Pointed

CONTROL: Final = frozenset(
    {
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "idempotency-key",
        "job-delay",
        "job-expires",
        "job-priority",
        "job-tags",
        "job-webhook",
        "origin",
        "prefer",
        "sec-fetch-site",
        "x-async-request-id",
    }
)
"""Headers that control how a submission is handled."""
KEY_HEADERS: Final = ("idempotency-key", "x-async-request-id")
OPTION_HEADERS: Final = frozenset(
    {"job-delay", "job-expires", "job-priority", "job-tags", *KEY_HEADERS}
)
OTHER_HEADERS: Final = frozenset(
    {"content-encoding", "expect", "job-webhook", "origin", "prefer", "sec-fetch-site"}
)
"""Headers that require more than one step, or more checks: not of a plain submission, which servers
may handle without the rest of `submit`.
"""
MAX_INLINE_BYTES: Final = 16_384
MAX_INLINE_WORK: Final = 300_000
"""Bytes times the subschemas that apply to one value: a few milliseconds."""
MAX_INLINE_ERRORS: Final = 100
"""Values times subschemas up to which errors are located in the event loop."""


class SubmissionHeaders(NamedTuple):
    """The headers of a submission, by lower-case names.

    `kept` is stored with the job; `given` controls the gateway; `repeated` lists the names in
    `given` that occur more than once. Repeated values are joined by a comma.
    """

    kept: dict[str, str]
    given: dict[str, str]
    repeated: tuple[str, ...]

    def single(self, name: str) -> str | None:
        """Return the value of a header; a repeated one is refused as ambiguous."""
        value = self.given.get(name)
        if value is not None and name in self.repeated:
            raise Problem("invalid-header", f"{name} is given more than once")
        return value


def submission_headers(headers: Headers, keep: frozenset[str]) -> SubmissionHeaders:
    """Return the relevant headers, in one pass. What is not UTF-8 is decoded as Latin-1."""
    return collected(((name.lower(), value) for name, value in headers.items()), keep)


def collected(pairs: Iterable[tuple[str, str]], keep: frozenset[str]) -> SubmissionHeaders:
    """Return the relevant headers of pairs whose names are in lower case."""
    kept: dict[str, str] = {}
    given: dict[str, str] = {}
    repeated: tuple[str, ...] = ()
    for lower, value in pairs:
        text = value if value.isascii() else readable(value)
        if lower in keep:
            kept[lower] = f"{kept[lower]}, {text}" if lower in kept else text
        if lower in CONTROL:
            if lower in given:
                given[lower] += f", {text}"
                repeated = (*repeated, lower)
            else:
                given[lower] = text
    return SubmissionHeaders(kept, given, repeated)


def readable(value: str) -> str:
    """Return a header as text: UTF-8, or else Latin-1."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogateescape").decode("latin-1")
    return value


class Options(NamedTuple):
    """What the headers of a submission request of its job. `key`: of Idempotency-Key."""

    delay_ms: int = 0
    ttl_ms: int = 0
    priority: Priority = Priority.NORMAL
    key: str | None = None
    attributes: Attributes = NO_ATTRIBUTES


_NO_OPTIONS: Final = Options()


def read_options(route: RouteConfig, headers: SubmissionHeaders) -> Options:
    """Return the options that headers give; raises Problem for these and for the content type."""
    given = headers.given
    if route.schema is not None and not route.body_optional:
        require_json(given.get("content-type", ""))
    if OPTION_HEADERS.isdisjoint(given):
        return _NO_OPTIONS
    delay_ms = ttl_ms = 0
    chosen, key, attributes = Priority.NORMAL, None, NO_ATTRIBUTES
    if (value := headers.single("job-delay")) is not None:
        delay_ms = seconds_ms("Job-Delay", value, positive=False)
    if (value := headers.single("job-expires")) is not None:
        ttl_ms = seconds_ms("Job-Expires", value, positive=True)
    if (value := headers.single("job-priority")) is not None:
        chosen = priority(value)
    if (value := headers.given.get("job-tags")) is not None:
        attributes = Attributes(tags=tags(value))
    for name in KEY_HEADERS:
        if (value := headers.single(name)) is not None:
            key = idempotency_key(value, name)
            break
    return Options(delay_ms, ttl_ms, chosen, key, attributes)


def stored_request(
    method: str,
    path: str,
    query: str,
    params: dict[str, str],
    headers: SubmissionHeaders,
    body: bytes,
) -> StoredRequest:
    """Return the request as the handler gets it."""
    kept = headers.kept
    if "traceparent" in kept and parse_traceparent(kept["traceparent"]) is None:
        del kept["traceparent"]  # not valid: neither is passed on
        kept.pop("tracestate", None)  # (W3C Trace Context §3.2.2.3)
    content_type = headers.given.get("content-type", "")
    return StoredRequest(method, path, query, params, kept, content_type, body)


def fingerprint(request: StoredRequest) -> bytes:
    """Return 16 bytes that differ when method, path, query, content type or body differ."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (request.method, request.path, request.query, request.content_type):
        data = part.encode("utf-8", "surrogateescape")
        digest.update(len(data).to_bytes(4, "big"))
        digest.update(data)
    digest.update(request.body)
    return digest.digest()


def check_quickly(route: RouteConfig, body: bytes, content_type: str) -> bool:
    """Check a body in the event loop; False if that would take long. Raises Problem."""
    schema = route.schema
    if schema is None and not (body and is_json(content_type)):
        return len(body) <= MAX_INLINE_BYTES or not route.pointers
    if route.body_optional:
        if not body:
            return True
        require_json(content_type)  # an empty body may have any, so it was not checked before
    weight = 1 if schema is None else schema.weight
    if len(body) > MAX_INLINE_BYTES or len(body) * weight > MAX_INLINE_WORK:
        return False
    value = parse(body)
    if schema is None or is_valid(schema, value):
        return True
    if not nodes_within(value, MAX_INLINE_ERRORS // weight):
        return False
    check_body(body, schema)
    return True


def new_job(
    route: RouteConfig,
    options: Options,
    stored: StoredRequest,
    now_ms: int,
    max_attempts: int,
    pointed: Pointed | None = None,
) -> NewJob:
    """Return the job that a checked request describes. `pointed`: see named_value."""
    key, attributes, on_conflict = options.key, options.attributes, OnConflict.RETURN
    if route.key is not None and (found := key_of(stored, route.key, pointed)):
        attributes = msgspec.structs.replace(attributes, key=found)
    if route.unique is not None and (lock := route.unique.lock(stored, pointed)) is not None:
        attributes = msgspec.structs.replace(attributes, lock=lock)
        on_conflict = route.unique.on_conflict
    return NewJob(
        ids.new(now_ms),
        route.job,
        stored,
        max_attempts,
        options.priority,
        options.delay_ms,
        options.ttl_ms,
        None if key is None else Idempotency(key, fingerprint(stored)),
        attributes,
        on_conflict,
    )
