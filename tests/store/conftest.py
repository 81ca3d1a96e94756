"""The conformance suite's one fixture: every test in this folder runs on both stores."""

from collections.abc import AsyncIterator

import pytest

from asyncendpoints_core.store.protocol import Store
from support.redis.backend import RedisBackend
from support.store.stores import POLICY, Backend, MemoryBackend, check


@pytest.fixture(params=["memory", "redis"])
async def unchecked(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    """An empty store, for a test that leaves it closed."""
    made: Backend
    if request.param == "redis":
        made = RedisBackend(request.getfixturevalue("redis_url"))
    else:
        made = MemoryBackend()
    await made.open()
    await made.store.configure(POLICY)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
async def backend(unchecked: Backend) -> AsyncIterator[Backend]:
    """An empty store. After each test its figures must equal a full scan."""
    yield unchecked
    await check(unchecked)


@pytest.fixture
def store(backend: Backend) -> Store:
    """The store itself."""
    return backend.store
