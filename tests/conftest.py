"""Fixtures that every folder of tests uses: real Redis servers."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import settings
from redis import Redis
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from support.redis.cluster import RedisCluster
from support.redis.proxy import ReplyDroppingProxy
from support.redis.sentinel import RedisSentinel
from support.redis.server import RedisServer
from support.redis.tls import TlsFront
from support.worker.reaper import reaper

# No test fails because the machine was slow. (CI=true has Hypothesis' own profile, which is also
# derandomized: the same commit gives the same answer.)
if not os.environ.get("CI"):
    settings.register_profile("local", deadline=None, print_blob=True)
    settings.load_profile("local")

# Most tests have processes, servers or browsers that start, stop and wait on their own: one failure
# is repeated, and shown with its traceback. pyproject.toml limits the repetitions of a whole run.
RERUNS = 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.flaky(reruns=RERUNS))


class OneProcessForTheCluster(LoadScopeScheduling):  # type: ignore[misc]  # is not typed
    """With `--numprocesses`: one process runs the tests on the cluster, the others all else."""

    def _split_scope(self, nodeid: str) -> str:
        """Return the name of the tests that share a process with this one."""
        return "cluster" if nodeid.startswith("tests/cluster/") else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OneProcessForTheCluster:
    """Distribute the tests."""
    return OneProcessForTheCluster(config, log)


@pytest.fixture(scope="session", autouse=True)
def _no_process_is_left() -> Iterator[None]:
    yield
    reaper.close()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A server for the whole run, without persistence. Stop or pause one of your own instead."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def _shared_url(redis_server: RedisServer) -> Iterator[str]:
    if os.environ.get("TEST_REDIS_TLS"):
        with TlsFront(redis_server) as front:
            yield front.url
    else:
        yield redis_server.url


@pytest.fixture
def redis_url(redis_server: RedisServer, _shared_url: str) -> str:
    """The URL of an empty database on the run's server; with TLS if TEST_REDIS_TLS is set."""
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
    return _shared_url


@pytest.fixture
async def redis_proxy(
    redis_url: str, redis_server: RedisServer
) -> AsyncIterator[ReplyDroppingProxy]:
    """A proxy that drops replies, in front of the run's server with an empty database."""
    async with ReplyDroppingProxy(redis_server.host, redis_server.port) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def _redis_cluster() -> Iterator[RedisCluster]:
    with RedisCluster() as cluster:
        yield cluster


@pytest.fixture
def redis_cluster(_redis_cluster: RedisCluster) -> RedisCluster:
    """An empty Redis Cluster of three masters, one for the whole run."""
    _redis_cluster.flush()
    return _redis_cluster


@pytest.fixture
def redis_sentinel() -> Iterator[RedisSentinel]:
    """A fresh master and replica under one Sentinel, for one test to fail over."""
    with RedisSentinel() as sentinel:
        yield sentinel
