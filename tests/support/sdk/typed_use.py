"""How users write against `asyncendpoints`: mypy and pyright must find every name and its type."""

from pathlib import Path
from typing import Any, assert_type

from aiohttp import web

import asyncendpoints
from asyncendpoints import (
    Endpoint,
    JobContext,
    MemoryStore,
    PermanentError,
    RedisStore,
    Refused,
    Request,
    Result,
    RetryAfter,
    UsageError,
    __version__,
    asgi,
    attach,
    handler,
    load,
    on_shutdown,
    on_startup,
    testing,
)

ep = Endpoint("reports", namespace="team", worker={"concurrency": 4})


@on_startup
@on_shutdown
async def hook() -> None: ...


@handler("plain")
def plain(body: bytes) -> Result:
    if not body:
        raise PermanentError("no rows", code="empty")
    raise RetryAfter(2.5)


@ep.post("/reports/{customer}", methods=["POST", "PUT"])
async def report(body: dict[str, int], job: JobContext) -> str:
    await job.progress(0.5, "half")
    assert_type(job.route_params["customer"], str)
    return str(body)


def allow(request: Request) -> None:
    raise Refused(403, request.path)


async def use(folder: Path) -> None:
    # Decorators return the function unchanged.
    assert_type(plain(b""), Result)
    assert_type(await report({}, JobContext.__new__(JobContext)), str)
    assert_type(__version__, str)
    found = load([folder])
    redis = RedisStore("redis://127.0.0.1", found.loaded[0].endpoint.key)
    jobs = asgi(ep, MemoryStore(), worker=True, before_enqueue=allow)
    async with jobs.lifespan():
        await jobs.closing()
    app = web.Application()
    attach(app, found, redis)
    assert_type(str(UsageError("text")), str)
    clock = testing.Clock()
    async with testing.running(ep, clock=clock) as running:
        handle = await running.submit("/reports/a", {"a": 1})
        result: Any = await handle.result()
        await clock.advance(result)
    run = await testing.run_job(report, body={})
    assert_type(run.delay, float)
    # Both report an ignore that is not needed.
    ep.post(1)  # type: ignore[arg-type]
    asyncendpoints.no_name  # type: ignore[attr-defined]  # noqa: B018
