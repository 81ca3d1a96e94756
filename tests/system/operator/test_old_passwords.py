"""An endpoint's old Redis password: valid for as long as a pod may use it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError

from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_core.store.replies import Cause, WorkerInfo
from asyncendpoints_operator.control import leader, redis_users
from asyncendpoints_operator.kube.client import Ref
from support.kube.fake_cluster import FakeCluster
from support.kube.leading import ENDPOINT, GATEWAY, WORKER, leading, pod, resource
from support.redis.server import RedisServer
from support.store.work import eventually

READINGS_SECONDS = 3.0
"""Long enough for a few readings of the queue, at each of which a password may be removed."""


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer(requirepass="owner") as one:
        yield one


def urls(cluster: FakeCluster) -> set[str]:
    """The URLs in the Secrets of the endpoint and of its predecessor."""
    found = [one["stringData"] for one in cluster.objects.values() if one["kind"] == "Secret"]
    return {data["url"] for data in found if "url" in data}


def accepts(url: str) -> bool:
    with Redis.from_url(url) as redis:
        try:
            return bool(redis.ping())
        except AuthenticationError:
            return False


async def test_a_replaced_resource_leaves_its_predecessors_workers_their_password(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_users, "HOLD_SECONDS", 0.0)
    cluster = FakeCluster()
    cluster.save(resource())
    store = RedisStore(server.url, "demo/reports")
    async with leading(cluster, redis_url=server.url):
        await cluster.until(lambda: urls(cluster))
        (first,) = urls(cluster)
        await cluster.until(lambda: cluster.find("Deployment", "reports-worker"))
        draining = pod(cluster)["metadata"]["uid"]
        await store.open()
        await store.register(WorkerInfo("w", draining, "nonce", 2))
        cluster.drop(ENDPOINT)  # kubectl replace --force
        cluster.save(resource())
        await cluster.until(lambda: len(urls(cluster)) == 2)
        (second,) = urls(cluster) - {first}
        await eventually(lambda: accepts(second))
        assert accepts(first)
        await store.release_worker("w", Cause.DRAINED)
        await eventually(lambda: not accepts(first))
        assert accepts(second)
    await store.close()


async def test_the_old_password_stays_valid_when_the_operators_is_rotated(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(leader, "OWN_URL_SECONDS", 0.1)
    file = tmp_path / "url"
    file.write_text(server.url)
    cluster = FakeCluster()
    cluster.save(resource())
    async with leading(cluster, redis_url_file=file):
        await cluster.until(lambda: urls(cluster))
        (first,) = urls(cluster)
        await eventually(lambda: accepts(first))
        with Redis.from_url(server.url) as redis:
            redis.execute_command("ACL", "SETUSER", "default", ">rotated")
        file.write_text(server.url.replace("owner", "rotated"))
        await cluster.until(lambda: urls(cluster) and urls(cluster) != {first})
        (second,) = urls(cluster)
        await eventually(lambda: accepts(second))
        assert accepts(first)


@pytest.mark.parametrize("of", [WORKER, GATEWAY], ids=["worker", "gateway"])
async def test_a_pod_that_is_being_deleted_keeps_the_password_it_has(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, of: Ref
) -> None:
    # It mounts the Secret of the new password, but the kubelet updates no Secret of such a pod.
    monkeypatch.setattr(redis_users, "HOLD_SECONDS", 0.0)
    cluster = FakeCluster()
    cluster.save(resource())
    store = RedisStore(server.url, "demo/reports")
    async with leading(cluster, redis_url=server.url):
        await cluster.until(lambda: urls(cluster))
        (first,) = urls(cluster)
        await eventually(lambda: accepts(first))
        await cluster.until(lambda: of.path in cluster.objects)
    draining = pod(cluster, of=of)
    draining["metadata"]["deletionTimestamp"] = "2026-01-01T00:10:00Z"
    cluster.save(draining)
    await store.open()
    if of == WORKER:
        await store.register(WorkerInfo("w", draining["metadata"]["uid"], "nonce", 2))
    with Redis.from_url(server.url) as redis:
        redis.execute_command("ACL", "SETUSER", "default", ">rotated")
    # The next leader: from its first reading on it knows of the pod.
    async with leading(cluster, redis_url=server.url.replace("owner", "rotated")):
        await cluster.until(lambda: urls(cluster) and urls(cluster) != {first})
        (second,) = urls(cluster)
        await eventually(lambda: accepts(second))
        await asyncio.sleep(READINGS_SECONDS)
        assert accepts(first)
        cluster.drop(Ref.of(draining))
        if of == WORKER:
            await store.release_worker("w", Cause.DRAINED)
        await eventually(lambda: not accepts(first))
        assert accepts(second)
    await store.close()
