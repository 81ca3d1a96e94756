"""Server-sent events: a job's changes as they happen (HTML Living Standard §9.2)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import web

from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_gateway.http import cors
from asyncendpoints_gateway.server.fast_path.response import Reply
from asyncendpoints_gateway.views import replies

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.jobs.records import Job
    from asyncendpoints_core.store.protocol import Found
    from asyncendpoints_gateway.context import Context
    from asyncendpoints_gateway.intake.long_poll import Watch

COMMENT_SECONDS: Final = 15.0
"""A comment that often keeps proxies from closing the stream."""
GAP_SECONDS: Final = 0.05
"""Progress that comes faster is seen in fewer events, the last one always."""
RECONNECT_MS: Final = 5_000
"""When a browser comes back, told to those who cannot be given a stream now."""


def event(context: Context, job: Job) -> bytes:
    """Return one event: the job as it is."""
    return b"id: %d\nevent: job\ndata: %b\n\n" % (job.revision, replies.job_body(context, job))


async def stream(
    context: Context, request: web.BaseRequest, job_id: JobId, extra: Mapping[str, str]
) -> web.StreamResponse:
    """GET /jobs/{id} for those who prefer text/event-stream. `extra` headers go with the answer."""
    found = await context.get(job_id)
    job = replies.existing(found)
    if job.final and request.headers.get("Last-Event-ID", "").strip() == str(job.revision):
        return Reply(status=204)  # which tells a browser not to come back
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream",
            "Cache-Control": "private, no-cache",
            "Vary": "Accept",
            "X-Accel-Buffering": "no",
        }
    )
    cors.add(response, extra)
    if request.method == "HEAD":
        return response
    watch = None if job.final else context.hub.watch(job_id)
    await response.prepare(request)
    try:
        await response.write(event(context, job))
        if watch is not None:
            with watch:
                await _follow(context, request, response, watch, job.revision)
        elif not job.final:
            await response.write(b"retry: %d\n\n" % RECONNECT_MS)
        await response.write_eof()
    except ConnectionError:
        pass  # the client went away
    return response


async def _follow(
    context: Context,
    request: web.BaseRequest,
    response: web.StreamResponse,
    watch: Watch,
    sent: int,
) -> None:
    """Write an event for every change until the job is final, removed, or the gateway closes."""
    loop = asyncio.get_running_loop()
    written = loop.time()
    while True:
        found = await _read(watch)
        if found is not None:
            job = found.job
            if job is None:
                return
            if job.revision != sent:
                await response.write(event(context, job))
                sent, written = job.revision, loop.time()
            if job.final:
                return
        if context.hub.closing or request.transport is None:
            return
        quiet = written + COMMENT_SECONDS - loop.time()
        if await watch.pause(quiet, lambda: request.transport is None):
            await asyncio.sleep(max(0.0, written + GAP_SECONDS - loop.time()))
        else:
            await response.write(b": still here\n\n")
            written = loop.time()  # and read again, in case a message was lost


async def _read(watch: Watch) -> Found | None:
    """Return the job as it is, None while the store cannot be reached: the stream outlives that."""
    try:
        return await watch.read()
    except StoreUnavailable:
        return None
