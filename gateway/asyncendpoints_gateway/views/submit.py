"""The view of a route: a request becomes a job."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from asyncendpoints_core.common.time_source import TimeSource
from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.policy import CLIENT_RECEIVERS
from asyncendpoints_core.jobs.records import (
    MAX_JOB_WEBHOOKS,
    NO_ATTRIBUTES,
    Attributes,
    Idempotency,
    NewJob,
    OnConflict,
    Priority,
)
from asyncendpoints_core.jobs.records import Request as StoredRequest
from asyncendpoints_core.process.telemetry import parse_traceparent
from asyncendpoints_core.store.group_commit import Batcher
from asyncendpoints_core.store.positions import FIRST
from asyncendpoints_core.store.replies import Enqueued, EnqueueStatus, Found
from asyncendpoints_gateway.http.bodies import read_body, require_json
from asyncendpoints_gateway.http.cors import with_headers
from asyncendpoints_gateway.http.headers import (
    idempotency_key,
    prefer_wait,
    priority,
    seconds_ms,
    submission_headers,
    tags,
)
from asyncendpoints_gateway.http.named_values import key_of
from asyncendpoints_gateway.http.problems import Problem, endpoint_closed, store_unavailable
from asyncendpoints_gateway.http.webhook_requests import AllowedReceivers
from asyncendpoints_gateway.intake.body_checks import BodyChecks
from asyncendpoints_gateway.intake.long_poll import Hub
from asyncendpoints_gateway.intake.store_policy import StorePolicy
from asyncendpoints_gateway.metrics import Metrics
from asyncendpoints_gateway.views.responses import JobResponses, existing, gone, unreadable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.jobs.records import Job, Result
    from asyncendpoints_gateway.config import RouteConfig
    from asyncendpoints_gateway.http.headers import SubmissionHeaders
    from asyncendpoints_gateway.http.messages import Request, Response
    from asyncendpoints_gateway.http.named_values import Pointed

    BeforeEnqueue = Callable[[StoredRequest], Awaitable[None]]
    ReadResult = Callable[[JobId], Awaitable[tuple[Found, Result | None]]]

log = logging.getLogger("asyncendpoints.gateway")

KEY_HEADERS: Final = ("idempotency-key", "x-async-request-id")
OPTION_HEADERS: Final = frozenset(
    {"job-delay", "job-expires", "job-priority", "job-tags", *KEY_HEADERS}
)
MAX_INLINE_HASHED: Final = 1_048_576
"""Bytes of a body up to which it is hashed in the event loop: about a millisecond."""
OTHER_HEADERS: Final = frozenset(
    {"content-encoding", "expect", "job-webhook", "origin", "prefer", "sec-fetch-site"}
)
"""Headers that require more than one step, or more checks: not of a plain submission, which servers
may handle without the rest of `submit`.
"""
_REPLAYED = EnqueueStatus.REPLAYED
_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
_REPLAY: Final[Mapping[str, str]] = MappingProxyType({"Idempotent-Replayed": "true"})
_EXISTING: Final[Mapping[str, str]] = MappingProxyType({"Job-Existing": "true"})
# The statuses that are a 202, with the headers that tell them apart.
_ACCEPTED: Final = {
    EnqueueStatus.CREATED: _NO_HEADERS,
    _REPLAYED: _REPLAY,
    EnqueueStatus.EXISTING: _EXISTING,
    EnqueueStatus.REPLACED: _EXISTING,
}


class Options(NamedTuple):
    """What the headers of a submission request of its job. `key`: of Idempotency-Key."""

    delay_ms: int = 0
    ttl_ms: int = 0
    priority: Priority = Priority.NORMAL
    key: str | None = None
    attributes: Attributes = NO_ATTRIBUTES


_NO_OPTIONS: Final = Options()


@dataclass(frozen=True, slots=True)
class SubmitView:
    """Validates requests, enqueues them and answers 202, or with the result if a client waits.

    The fast path uses the parts (`new_job`, `accept`, `count_refusal`) without the rest.
    """

    max_body: int
    receivers: AllowedReceivers
    checks: BodyChecks
    policy: StorePolicy
    enqueue: Batcher[NewJob, Enqueued]
    hub: Hub
    read_result: ReadResult
    responses: JobResponses
    metrics: Metrics
    time: TimeSource

    async def submit(
        self,
        request: Request,
        route: RouteConfig,
        params: dict[str, str],
        before_enqueue: BeforeEnqueue | None,
    ) -> Response:
        """Answer a request to `route`. `before_enqueue` runs once the request is validated."""
        try:
            headers = submission_headers(request.headers, route.keep)
            options = read_options(route, headers)  # before a client is invited to send the body
            if (receiver := headers.single("job-webhook")) is not None:
                options = self._with_receiver(options, receiver)
            body = await read_body(request, headers.given, self.max_body, self.time)
            stored = stored_request(
                request.method, request.path, request.query, params, headers, body
            )
            new = await self.checked_job(route, options, stored)
            if before_enqueue is not None:
                await before_enqueue(stored)
            answer = await self.enqueue.request(new)
            job, extra = self.accept(route, answer)
            if receiver is not None and set(new.attributes.webhooks) <= {*job.attributes.webhooks}:
                extra = {**extra, "Job-Webhook": receiver}
        except (Problem, StoreError) as error:
            self.count_refusal(route, error)
            raise
        if "prefer" in headers.given:
            wait = prefer_wait(headers.given["prefer"])
            if wait is not None:
                return await self._wait(request, Found(job, position=answer.position), wait, extra)
        return self.responses.accepted(job, answer.position, extra)

    def _with_receiver(self, options: Options, header: str) -> Options:
        """Return options with the receiver that Job-Webhook names. Raises Problem."""
        url = self.receivers.read(header)
        if not self.policy.current.webhook_states & CLIENT_RECEIVERS:
            raise store_unavailable("the store does not have the receivers of this endpoint yet")
        attributes = msgspec.structs.replace(options.attributes, webhooks=(url,))
        return options._replace(attributes=attributes)

    async def checked_job(
        self, route: RouteConfig, options: Options, stored: StoredRequest
    ) -> NewJob:
        """Check the body of a request, and return the job that it describes. Raises Problem.

        What takes long for a large body is done off the event loop.
        """
        pointed = await self.checks.check(route, stored.body, stored.content_type)
        hashed = route.unique is not None or options.key is not None
        if hashed and len(stored.body) > MAX_INLINE_HASHED:
            return await asyncio.to_thread(self.new_job, route, options, stored, pointed)
        return self.new_job(route, options, stored, pointed)

    def new_job(
        self,
        route: RouteConfig,
        options: Options,
        stored: StoredRequest,
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
            ids.new(self.time.now_ms()),
            route.job,
            stored,
            self.policy.max_attempts,
            options.priority,
            options.delay_ms,
            options.ttl_ms,
            None if key is None else Idempotency(key, fingerprint(stored)),
            attributes,
            on_conflict,
        )

    def accept(self, route: RouteConfig, answer: Enqueued) -> tuple[Job, Mapping[str, str]]:
        """Return the created or replayed job and the headers that say which.

        Raises Problem when the store refused, StoreError when the outcome is unknown.
        """
        job, status = answer.job, answer.status
        if job is not None and status in _ACCEPTED:
            if log.isEnabledFor(logging.DEBUG):
                log.debug("accepted %s", job.name, extra={"job_id": ids.text(job.id)})
            self.metrics.submission(route.job, status.value)
            return job, _ACCEPTED[status]
        raise self._refusal(answer)

    def _refusal(self, answer: Enqueued) -> Exception:
        status = answer.status
        if status is _REPLAYED:
            return gone(_REPLAY)
        if status is EnqueueStatus.DUPLICATE and answer.job is not None:
            return self.responses.duplicate(answer.job)
        if status is EnqueueStatus.RECEIVERS_FULL and answer.job is not None:
            return self.responses.duplicate(
                answer.job, f"that job already has {MAX_JOB_WEBHOOKS} receivers, the maximum"
            )
        if status is EnqueueStatus.UNREADABLE:
            return unreadable()
        if status is EnqueueStatus.UNSUPPORTED:
            return store_unavailable(
                "workers of an older version are registered, which do not support what the job uses"
            )
        if status is EnqueueStatus.MISMATCH:
            return Problem(
                "idempotency-mismatch", "the key was used for a request with different content"
            )
        if status is EnqueueStatus.FULL:
            return self.responses.queue_full()
        if status is EnqueueStatus.KEY_FULL:
            return self.responses.key_queue_full(answer.key, answer.position)
        if status is EnqueueStatus.CLOSED:
            return endpoint_closed()
        # The reply to an earlier call was lost, and its job cannot be read since.
        return store_unavailable()

    def count_refusal(self, route: RouteConfig, error: Exception) -> None:
        """Count a submission that did not become a job."""
        if isinstance(error, Problem):
            self.metrics.submission(route.job, error.name)
        elif isinstance(error, StoreError):
            self.metrics.submission(route.job, "store-unavailable")

    async def _wait(
        self, request: Request, found: Found, wait: int, extra: Mapping[str, str]
    ) -> Response:
        """Answer as GET {Location}/result would, once the job is final or `wait` seconds passed."""
        job = existing(found)
        applied = {**extra, "Preference-Applied": f"wait={wait}"}
        try:
            if not job.final:
                # The job is accepted: from here on the response is never an error.
                latest, waited = await self.hub.wait(
                    job.id,
                    wait,
                    lambda read: read.job is None or read.job.final,
                    request.client_gone,
                )
                if latest.job is not None and not latest.job.final:
                    headers = applied if waited else extra
                    return self.responses.accepted(latest.job, latest.position, headers)
            found, result = await self.read_result(job.id)
            if found.job is not None and not found.job.final:  # retried in the meantime
                return self.responses.accepted(found.job, found.position, applied)
            if found.unreadable:
                return self.responses.accepted(job, FIRST, extra)
            response = self.responses.result(found, result)
        except StoreError:
            return self.responses.accepted(job, found.position, extra)
        except Problem as problem:
            response = problem.response()
        return with_headers(response, {"Location": self.responses.location(job), **applied})


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
