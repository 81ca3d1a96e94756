"""The requests about the logs of a job: as text, or as a stream of events while it runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import web

from asyncendpoints_console.api.queries import OF_LOGS, check_known, invalid
from asyncendpoints_console.reading import jobs
from asyncendpoints_console.reading.logs import Follower, text_of
from asyncendpoints_core.errors import StoreError

if TYPE_CHECKING:
    from asyncendpoints_console.api.call import Call
    from asyncendpoints_core.jobs.records import Job

EVENTS: Final = "text/event-stream"
INTERVAL_SECONDS: Final = 1.0
KEEP_ALIVE_SECONDS: Final = 10
STREAM_SECONDS: Final = 600
"""A stream ends after this time; browsers and the command then go on with a new one."""


async def show(call: Call) -> web.StreamResponse:
    """GET jobs/{id}/logs."""
    call.may_read_bodies()
    attempt = _attempt(call)
    await _job(call)
    if EVENTS in call.request.headers.get("Accept", ""):
        return await _stream(call, attempt)
    text = text_of(await call.target.store.read_logs(call.job_id), attempt)
    return web.Response(
        text=text,
        content_type="text/plain",
        charset="utf-8",
        headers={"Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'"},
    )


def _attempt(call: Call) -> int | None:
    check_known(call.query, OF_LOGS)
    value = call.query.get("attempt")
    if value is None:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,4}", value, re.ASCII):
        raise invalid("attempt must be the number of an attempt, from 1")
    return int(value)


async def _job(call: Call) -> Job:
    [inspected] = await call.target.store.inspect([call.job_id])
    return jobs.existing(inspected)


async def _stream(call: Call, attempt: int | None) -> web.StreamResponse:
    """Send lines as they come, until the job is final."""
    response = web.StreamResponse(headers={"Content-Type": EVENTS})
    await response.prepare(call.request)
    follower = Follower(call.request.headers.get("Last-Event-ID", ""), attempt)
    store, ended = call.target.store, False
    for second in range(STREAM_SECONDS):
        try:
            [found] = await store.get([call.job_id])
            for lines in follower.new(await store.read_logs(call.job_id)):
                await response.write(_event("log", lines, lines.position))
        except StoreError:
            return response  # the client comes again, and gets the problem
        if ended or found.job is None:
            await response.write(_event("end", {}))
            return response
        # The last lines come beside the outcome, maybe after it: look once more.
        ended = found.job.final
        if second % KEEP_ALIVE_SECONDS == 0:
            await response.write(b":\n\n")
        await call.site.time.sleep(INTERVAL_SECONDS)
    return response


def _event(name: str, value: object, number: str = "") -> bytes:
    head = f"event: {name}\n" + (f"id: {number}\n" if number else "")
    return head.encode() + b"data: " + msgspec.json.encode(value) + b"\n\n"
