"""Fixtures of the gateway's system tests: a running gateway on each of the two stores."""

from collections.abc import AsyncIterator

import pytest

from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_gateway.server.fast_path import probe
from support.http import gateway
from support.http.asgi import ASGI_SERVERS
from support.http.gateway import Site, endpoint, serving


@pytest.fixture(params=["fast path", "public interface", *ASGI_SERVERS], autouse=True)
def http_mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How requests are handled: with the fast path, by aiohttp's public interface alone, as with
    an aiohttp whose internals are different, or by an ASGI server. A module that imports this runs
    its tests twice; conftest.py says which of them run on ASGI servers too.
    """
    mode: str = request.param
    if mode == "public interface":
        monkeypatch.setattr(probe, "differences", lambda: ["a test"])
    if mode in ASGI_SERVERS:
        monkeypatch.setattr(gateway, "Server", ASGI_SERVERS[mode])
    return mode


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """A fresh store."""
    made: Store
    if request.param == "memory":
        made = MemoryStore()
    else:
        made = RedisStore(request.getfixturevalue("redis_url"), endpoint().key)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
async def site(store: Store) -> AsyncIterator[Site]:
    """A gateway with the routes of support.http.gateway."""
    async with serving(store) as running:
        yield running
