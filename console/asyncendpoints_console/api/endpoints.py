"""The requests about endpoints as a whole: figures, workers, failures, the audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncendpoints_console.api import queries
from asyncendpoints_console.api.call import json_response
from asyncendpoints_console.reading import failures as grouped
from asyncendpoints_console.reading import figures as reading
from asyncendpoints_console.reading import overview
from asyncendpoints_console.reading.overview import ALL_JOBS
from asyncendpoints_console.refusals import Refusal
from asyncendpoints_console.site import ROLE
from asyncendpoints_core import __version__

if TYPE_CHECKING:
    from aiohttp import web

    from asyncendpoints_console.api.call import Call
    from asyncendpoints_console.site import Site


async def about(site: Site, request: web.Request) -> web.Response:
    """GET /api/v1."""
    return json_response(
        {
            "version": __version__,
            "scope": site.scope,
            "instance": site.instance,
            "readOnly": site.read_only,
            "role": request[ROLE].value,
        }
    )


async def listing(site: Site, _: web.Request) -> web.Response:
    """GET endpoints."""
    return json_response({"items": await overview.endpoints(site.targets())})


async def show(call: Call) -> web.Response:
    """GET one endpoint."""
    found: dict[str, Any] = await overview.endpoint(call.target)
    return json_response(found | {"policy": overview.policy(call.target)})


async def pause(call: Call) -> web.Response:
    """POST pause."""
    return await _set_paused(call, paused=True)


async def resume(call: Call) -> web.Response:
    """POST resume."""
    return await _set_paused(call, paused=False)


async def _set_paused(call: Call, *, paused: bool) -> web.Response:
    call.may_change()
    job = await _job_of(call)
    store = call.target.store
    await (store.pause(job) if paused else store.resume(job))
    call.record("pause" if paused else "resume", job=job or ALL_JOBS)
    return await show(call)


async def _job_of(call: Call) -> str:
    """Return the name of the jobs to pause or resume, "" for the whole endpoint. Raises the 400."""
    body = await call.json()
    if unknown := sorted(set(body) - {"job"}):
        text = f"unknown member {unknown[0][:40]!r}: the only one is job, the name of a job"
        raise Refusal("malformed-body", text)
    if "job" not in body:
        return ""
    job, stats = body["job"], await call.target.store.stats()
    known = overview.job_names(call.target, stats)
    if not isinstance(job, str) or job not in known:
        wrong = f"there is no job {job[:64]!r}" if isinstance(job, str) else "job must be a string"
        text = f"{wrong}; the jobs are: {', '.join(sorted(known))}"
        raise Refusal("malformed-body", text)
    return job


async def workers(call: Call) -> web.Response:
    """GET workers."""
    return json_response(await overview.workers(call.target))


async def failures(call: Call) -> web.Response:
    """GET failures."""
    queries.check_known(call.query, queries.OF_FAILURES)
    return json_response(await grouped.failures(call.target, queries.cursor(call.query)))


async def figures(call: Call) -> web.Response:
    """GET figures."""
    queries.check_known(call.query, queries.OF_FIGURES)
    step_s, since_ms = queries.step(call.query), queries.since_ms(call.query)
    found = await call.target.store.read_figures(step_s, since_ms)
    return json_response(reading.shown(found, step_s))


async def audit(call: Call) -> web.Response:
    """GET audit."""
    return json_response({"items": call.site.audit.records(call.target.key)})
