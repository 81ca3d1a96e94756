"""The view of a route: a request becomes a job."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec

from asyncendpoints_core.common.time_source import TimeSource
from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.policy import CLIENT_RECEIVERS
from asyncendpoints_core.jobs.records import (
    MAX_JOB_WEBHOOKS,
    NewJob,
)
from asyncendpoints_core.jobs.records import Request as StoredRequest
from asyncendpoints_core.store.group_commit import Batcher
from asyncendpoints_core.store.positions import FIRST
from asyncendpoints_core.store.replies import Enqueued, EnqueueStatus, Found
from asyncendpoints_gateway.http.bodies import read_body
from asyncendpoints_gateway.http.cors import with_headers
from asyncendpoints_gateway.http.headers import prefer_wait
from asyncendpoints_gateway.http.problems import Problem, endpoint_closed, store_unavailable
from asyncendpoints_gateway.http.webhook_requests import AllowedReceivers
from asyncendpoints_gateway.intake.body_checks import BodyChecks
from asyncendpoints_gateway.intake.long_poll import Hub
from asyncendpoints_gateway.intake.store_policy import StorePolicy
from asyncendpoints_gateway.metrics import Metrics
from asyncendpoints_gateway.views.responses import JobResponses, existing, gone, unreadable
from asyncendpoints_gateway.views.submission import (
    check_quickly,
    new_job,
    read_options,
    stored_request,
    submission_headers,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.jobs.records import Job, Result
    from asyncendpoints_gateway.config import RouteConfig
    from asyncendpoints_gateway.http.messages import Request, Response
    from asyncendpoints_gateway.views.submission import Options

    BeforeEnqueue = Callable[[StoredRequest], Awaitable[None]]
    ReadResult = Callable[[JobId], Awaitable[tuple[Found, Result | None]]]

log = logging.getLogger("asyncendpoints.gateway")

MAX_INLINE_HASHED: Final = 1_048_576
"""Bytes of a body up to which it is hashed in the event loop: about a millisecond."""
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


@dataclass(frozen=True, slots=True)
class SubmitView:
    """Validates requests, enqueues them and answers 202, or with the result if a client waits.

    The fast paths use its parts: `checked_job`, `accept` and `count_refusal`.
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
        pointed = None
        if not check_quickly(route, stored.body, stored.content_type):
            pointed = await self.checks.check(route, stored.body, stored.content_type)
        of = route, options, stored, self.time.now_ms(), self.policy.max_attempts, pointed
        hashed = route.unique is not None or options.key is not None
        if hashed and len(stored.body) > MAX_INLINE_HASHED:
            return await asyncio.to_thread(new_job, *of)
        return new_job(*of)

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
