"""The clients of a soak are not held back by their connections."""

import asyncio

from aiohttp import web
from aiohttp.test_utils import TestServer

from faults.load import Load

AT_ONCE = 120
"""More than aiohttp's clients have connections by default."""


async def test_more_requests_than_a_pool_has_connections_are_under_way_at_once() -> None:
    waiting, all_there = 0, asyncio.Event()

    async def hold(request: web.Request) -> web.Response:
        nonlocal waiting
        waiting += 1
        if waiting == AT_ONCE:
            all_there.set()
        await all_there.wait()
        return web.json_response({"id": request.path}, headers={"Connection": "close"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", hold)
    async with TestServer(app) as server:
        load = Load([str(server.make_url("")).rstrip("/")], 1, 1_000)
        running = asyncio.create_task(load.run())
        try:
            async with asyncio.timeout(30):
                await all_there.wait()  # those that time out are sent again, and counted
        finally:
            load.stop()
            all_there.set()
            await running
    assert load.answers[0] == 0  # no request timed out
