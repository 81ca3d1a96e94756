"""A closed connection whose reader has not noticed yet is like any other lost connection."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from asyncendpoints_core.store.redis import RedisStore, connection
from support.redis.server import RedisServer
from support.store.work import endpoint, new_job, submit

ENDPOINT = endpoint()


async def close(one: Any) -> None:
    """Close the transport, as after a failed write. Returns in the turn of the loop in which it is
    closed; its reader notices in the next one.
    """
    one._writer.transport.abort()
    await asyncio.sleep(0)


async def _submit_and_wait(url: str) -> None:
    store: Any = RedisStore(url, ENDPOINT.key)
    await store.open()
    try:
        await store.configure(ENDPOINT.spec.policy())
        (shared,) = store._caller.connection._shared.values()
        await close(shared._connection)
        assert (await store.stats()).held == 0
        assert shared not in store._caller.connection._shared.values()
        await submit(store, new_job("work", b"{}"))
        await store._doorbell._listen(0.01, b"")
        (waiting,) = store._doorbell._idle
        await close(waiting)
        await store._doorbell._listen(0.01, b"")
        assert store._doorbell._idle != [waiting]
    finally:
        await store.close()


@pytest.mark.parametrize("loop", [uvloop.new_event_loop, asyncio.new_event_loop])
@pytest.mark.parametrize("reader", ["ours", "redis-py's"])
def test_it_is_replaced(
    loop: Callable[[], asyncio.AbstractEventLoop], reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replies that redis-py reads: where it is not inside as transport.py expects."""
    if reader != "ours":
        monkeypatch.setattr(connection, "wire_of", lambda _: None)
    with RedisServer() as server, asyncio.Runner(loop_factory=loop) as runner:
        runner.run(_submit_and_wait(server.url))
