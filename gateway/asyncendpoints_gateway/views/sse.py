"""Server-sent events: a job's changes as they happen (HTML Living Standard §9.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.common.time_source import TimeSource
from asyncendpoints_core.errors import StoreError
from asyncendpoints_gateway.http.messages import Response
from asyncendpoints_gateway.intake.long_poll import Hub
from asyncendpoints_gateway.views.responses import JobResponses, existing

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.jobs.records import Job
    from asyncendpoints_core.store.replies import Found
    from asyncendpoints_gateway.http.messages import Request
    from asyncendpoints_gateway.intake.long_poll import Watch

COMMENT_SECONDS: Final = 15.0
"""Interval of comments on an idle stream, which keep proxies from closing it."""
GAP_SECONDS: Final = 0.05
"""Faster progress is sent as fewer events, always including the last."""
RECONNECT_MS: Final = 5_000
"""When a browser reconnects that could not be given a stream."""
HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "private, no-cache",
    "Vary": "Accept",
    "X-Accel-Buffering": "no",
}


@dataclass(frozen=True, slots=True)
class EventView:
    """GET /jobs/{id} for clients that prefer text/event-stream."""

    hub: Hub
    responses: JobResponses
    time: TimeSource

    async def stream(self, request: Request, job_id: JobId) -> Response:
        """Return the stream; 204 when the client has seen the job's final state."""
        job = existing(await self.hub.get(job_id))
        if job.final and request.headers.get("Last-Event-ID", "").strip() == str(job.revision):
            return Response(204)  # browsers then do not reconnect
        return Response(200, HEADERS, stream=self._events(request, job))

    async def _events(self, request: Request, job: Job) -> AsyncGenerator[bytes, None]:
        """Yield the job as it is, then an event for every change until it is final or removed."""
        watch = None if job.final else self.hub.watch(job.id)
        yield self._event(job)
        if watch is None:
            if not job.final:
                yield b"retry: %d\n\n" % RECONNECT_MS
            return
        now = self.time.monotonic
        written = now()
        sent = job.revision
        with watch:
            while True:
                found = await _read(watch)
                if found is not None:
                    if found.job is None:
                        return
                    if found.job.revision != sent:
                        yield self._event(found.job)
                        sent, written = found.job.revision, now()
                    if found.job.final:
                        return
                if self.hub.closing or request.client_gone():
                    return
                quiet = written + COMMENT_SECONDS - now()
                if await watch.wait(quiet, request.client_gone):
                    await self.time.sleep(max(0.0, written + GAP_SECONDS - now()))
                else:
                    yield b": keep-alive\n\n"
                    written = now()  # and read again, in case a message was lost

    def _event(self, job: Job) -> bytes:
        return b"id: %d\nevent: job\ndata: %b\n\n" % (job.revision, self.responses.body(job))


async def _read(watch: Watch) -> Found | None:
    """Return the job, None while the store cannot be read: a stream survives that."""
    try:
        return await watch.read()
    except StoreError:
        return None
