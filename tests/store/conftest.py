"""The conformance suite's one fixture: every test in this folder runs on both stores."""

from collections.abc import AsyncIterator

import pytest

from asyncendpoints_core.store.protocol import Store
from support.stores import POLICY, Backend, MemoryBackend, check

STORES = ["memory"]


@pytest.fixture(params=STORES)
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    """An empty store. After each test its figures must equal a full scan."""
    made: Backend
    made = MemoryBackend()
    await made.store.open()
    await made.store.configure(POLICY)
    try:
        yield made
        await check(made)
    finally:
        await made.close()


@pytest.fixture
def store(backend: Backend) -> Store:
    """The store itself."""
    return backend.store
