"""A Kubernetes API in memory, and the queue of `demo/reports` as a gateway has it."""

from collections.abc import AsyncIterator

import pytest

from asyncendpoints_core.store.redis import RedisStore
from support.kube.fake_cluster import FakeCluster


@pytest.fixture
async def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisStore]:
    one = RedisStore(redis_url, "demo/reports")
    await one.open()
    yield one
    await one.close()
