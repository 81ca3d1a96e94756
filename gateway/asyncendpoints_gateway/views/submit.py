"""A request to a route becomes a job: the one view that everything else exists for."""

from __future__ import annotations

import hashlib
import logging
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import Idempotency, NewJob, Priority, Request
from asyncendpoints_core.process.telemetry import parse_traceparent
from asyncendpoints_core.store.protocol import EnqueueStatus, Found
from asyncendpoints_gateway.http import headers as read
from asyncendpoints_gateway.http.bodies import check_body, read_body
from asyncendpoints_gateway.http.problems import Problem, store_unavailable
from asyncendpoints_gateway.views import replies

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp import web
    from yarl import URL

    from asyncendpoints_core.jobs.records import Job
    from asyncendpoints_core.store.protocol import Enqueued
    from asyncendpoints_gateway.config import RouteConfig
    from asyncendpoints_gateway.context import Context
    from asyncendpoints_gateway.http.headers import Sifted

    BeforeEnqueue = Callable[[web.BaseRequest], Awaitable[None]]

log = logging.getLogger("asyncendpoints.gateway")

KEY_HEADERS: Final = ("idempotency-key", "x-async-request-id")
_CREATED, _REPLAYED = EnqueueStatus.CREATED, EnqueueStatus.REPLAYED
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_REPLAY: Final[Mapping[str, str]] = MappingProxyType({"Idempotent-Replayed": "true"})
ASKING: Final = frozenset({"job-delay", "job-expires", "job-priority", *KEY_HEADERS})


async def submit(
    context: Context,
    request: web.BaseRequest,
    route: RouteConfig,
    params: dict[str, str],
    before_enqueue: BeforeEnqueue | None = None,
    *,
    decoded: bool = False,
) -> web.StreamResponse:
    """Validate, enqueue, and answer 202, or with the result if the client prefers to wait."""
    try:
        sifted = read.sift(request.headers, route.keep)
        limit = context.config.max_body
        body = await read_body(request, sifted.given, limit, decoded=decoded)
        new = job_of(context, request.method, request.rel_url, route, params, sifted, body)
        if before_enqueue is not None:
            await before_enqueue(request)
        answer = await context.enqueue.ask(new)
        job, extra = accept(context, route, answer)
    except (Problem, StoreUnavailable) as error:
        refused(context, route, error)
        raise
    if "prefer" in sifted.given:
        wait = read.prefer_wait(sifted.given["prefer"])
        if wait is not None:
            return await _waited(context, request, Found(job, ahead=answer.ahead), wait, extra)
    return replies.accepted(context, job, answer.ahead, extra)


def job_of(
    context: Context,
    method: str,
    url: URL,
    route: RouteConfig,
    params: dict[str, str],
    sifted: Sifted,
    body: bytes,
) -> NewJob:
    """Return the job that a request asks for; raises Problem."""
    given, kept = sifted.given, sifted.kept
    content_type = given.get("content-type", "")
    if body or route.schema is not None:
        check_body(body, content_type, route.schema)
    if "traceparent" in kept and parse_traceparent(kept["traceparent"]) is None:
        del kept["traceparent"]  # W3C Trace Context §3.2.2.3: not to be passed on,
        kept.pop("tracestate", None)  # and what belongs to it neither
    stored = Request(method, url.raw_path, url.raw_query_string, params, kept, content_type, body)
    delay_ms = ttl_ms = 0
    priority, idempotency = Priority.NORMAL, None
    if not ASKING.isdisjoint(given):
        if (value := sifted.single("job-delay")) is not None:
            delay_ms = read.seconds_ms("Job-Delay", value, positive=False)
        if (value := sifted.single("job-expires")) is not None:
            ttl_ms = read.seconds_ms("Job-Expires", value, positive=True)
        if (value := sifted.single("job-priority")) is not None:
            priority = read.priority(value)
        idempotency = _idempotency(sifted, stored)
    return NewJob(
        ids.new(time.time_ns() // 1_000_000),
        route.job,
        stored,
        context.config.max_attempts,
        priority,
        delay_ms,
        ttl_ms,
        idempotency,
    )


def _idempotency(sifted: Sifted, stored: Request) -> Idempotency | None:
    for name in KEY_HEADERS:
        value = sifted.single(name)
        if value is not None:
            return Idempotency(read.idempotency_key(value, name), fingerprint(stored))
    return None


def fingerprint(request: Request) -> bytes:
    """Return 16 bytes that differ when method, path, query, content type or body differ."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (request.method, request.path, request.query, request.content_type):
        data = part.encode("utf-8", "surrogateescape")
        digest.update(len(data).to_bytes(4, "big"))
        digest.update(data)
    digest.update(request.body)
    return digest.digest()


def accept(context: Context, route: RouteConfig, answer: Enqueued) -> tuple[Job, Mapping[str, str]]:
    """Return the job that the store has made or had, and what the answer says beside it.

    Raises Problem when the store took nothing, StoreUnavailable when it cannot tell.
    """
    job, status = answer.job, answer.status
    if job is not None and (status is _CREATED or status is _REPLAYED):
        if log.isEnabledFor(logging.DEBUG):
            log.debug("accepted %s", job.name, extra={"job_id": ids.text(job.id)})
        if status is _CREATED:
            context.metrics.submission(route.job, "created")
            return job, _NOTHING
        context.metrics.submission(route.job, "replayed")
        return job, _REPLAY
    if status is EnqueueStatus.MISMATCH:
        raise Problem("idempotency-mismatch", "the key was used for a request with other content")
    if status is EnqueueStatus.FULL:
        raise queue_full(context)
    if status is EnqueueStatus.CLOSED:
        raise store_unavailable("the endpoint is being deleted and accepts nothing more")
    # A replay whose job went at that very moment: sent again, it would be created.
    raise store_unavailable()


def refused(context: Context, route: RouteConfig, error: Exception) -> None:
    """Count a submission that became no job."""
    if isinstance(error, Problem):
        context.metrics.submission(route.job, error.name)
    elif isinstance(error, StoreUnavailable):
        context.metrics.submission(route.job, "store-unavailable")


def queue_full(context: Context) -> Problem:
    """Return the 429, with the time in which one place should become free."""
    drain = context.sampler.drain
    seconds = drain.until_done(0) - drain.run_seconds
    return Problem(
        "queue-full",
        "as many jobs wait as may; try again later",
        headers={"Retry-After": str(max(1, min(3_600, round(seconds))))},
    )


async def _waited(
    context: Context,
    request: web.BaseRequest,
    found: Found,
    wait: int,
    extra: Mapping[str, str],
) -> web.Response:
    """Answer as GET {Location}/result would, once the job is final or `wait` seconds are over."""
    job = replies.existing(found)
    here = {"Location": replies.location(context, job.id), **extra}
    applied = {"Preference-Applied": f"wait={wait}"}
    try:
        if not job.final:
            # The job is accepted: whatever happens from here on, the answer is never an error.
            latest, waited = await context.hub.wait(
                job.id,
                wait,
                lambda read: read.job is None or read.job.final,
                lambda: request.transport is None,
            )
            if latest.job is not None and not latest.job.final:
                if waited:
                    extra = {**extra, **applied}
                return replies.accepted(context, latest.job, latest.ahead, extra)
        found, result = await context.call(context.store.result(job.id))
        if found.job is not None and not found.job.final:  # retried by someone meanwhile
            return replies.accepted(context, found.job, found.ahead, {**extra, **applied})
        response = replies.result_response(context, found, result)
    except StoreUnavailable:
        return replies.accepted(context, job, found.ahead, extra)
    except Problem as problem:
        response = problem.response()
    response.headers.update({**here, **applied})
    return response
