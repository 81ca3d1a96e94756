"""Two operators of the same class: one serves a resource, the other leaves it alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from asyncendpoints_operator.control import served_by
from asyncendpoints_operator.control.served_by import ServedBy
from asyncendpoints_operator.kube.cache import Cache
from asyncendpoints_operator.status.event_publisher import EventPublisher
from support.kube.fake_cluster import FakeCluster, Manifest
from support.kube.leading import ENDPOINT, WORKER, event, leading, reason, resource
from support.resources import merge
from support.store.work import eventually

FIRST = "elsewhere/first"
LEASE = {
    "apiVersion": "coordination.k8s.io/v1",
    "kind": "Lease",
    "metadata": {"name": "first", "namespace": "elsewhere"},
}


@pytest.fixture
async def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    monkeypatch.setattr(served_by, "GONE_SECONDS", 0.5)
    monkeypatch.setattr(served_by, "_READ_SECONDS", 0.0)
    monkeypatch.setattr(served_by, "REPORT_SECONDS", 0.1)
    monkeypatch.setattr(served_by, "CHECK_SECONDS", 0.1)
    return FakeCluster()


@asynccontextmanager
async def renewed(cluster: FakeCluster) -> AsyncIterator[None]:
    """The first operator's Lease, renewed for the block."""

    async def renew() -> None:
        while True:
            cluster.save(LEASE)
            await asyncio.sleep(0.05)

    task = asyncio.create_task(renew())
    yield
    task.cancel()


def served(cluster: FakeCluster) -> str:
    return str((cluster.endpoint().get("status") or {}).get("operator"))


async def test_the_second_reports_the_first_and_takes_over_what_it_lets_go(
    cluster: FakeCluster, redis_url: str
) -> None:
    cluster.save(resource(redis_url) | {"status": {"operator": FIRST}})
    async with renewed(cluster), leading(cluster, operator_namespace="here") as led:
        await cluster.until(lambda: event(cluster, "ServedByAnother"))
        await asyncio.sleep(1)  # twice the time after which one that is gone is replaced
        assert led.leader.served_by_others == {"demo/reports": FIRST}
        assert cluster.endpoint()["status"] == {"operator": FIRST}
        assert WORKER.path not in cluster.objects
        assert len([one for one in cluster.events if one["reason"] == "ServedByAnother"]) == 1
    async with leading(cluster, operator_namespace="here", lease_name="second"):
        await cluster.until(lambda: served(cluster) == "here/second")
        await cluster.until(lambda: reason(cluster, "QueueReachable") == "Reachable")
        assert WORKER.path in cluster.objects


async def test_a_served_resource_is_let_go_when_another_takes_it_or_its_class_changes(
    cluster: FakeCluster, redis_url: str
) -> None:
    cluster.save(resource(redis_url))
    async with leading(cluster, operator_namespace="here", lease_name="second") as led:
        await cluster.until(lambda: reason(cluster, "QueueReachable") == "Reachable")
        assert served(cluster) == "here/second"
        async with renewed(cluster):
            cluster.change(ENDPOINT, {"status": {"operator": FIRST}})
            await cluster.until(lambda: event(cluster, "ServedByAnother"))
            assert led.leader.figures().endpoints == ()
            cluster.change(ENDPOINT, {"status": {"operator": None}})
            await cluster.until(lambda: served(cluster) == "here/second")
        cluster.change(ENDPOINT, {"spec": {"className": "other"}})
        await cluster.until(lambda: served(cluster) == "None")


async def test_an_operator_whose_lease_cannot_be_read_is_left_alone_and_the_event_says_what_to_do(
    cluster: FakeCluster, redis_url: str
) -> None:
    cluster.unreadable.add("Lease")
    cluster.save(resource(redis_url) | {"status": {"operator": FIRST}})
    async with leading(cluster, operator_namespace="here", lease_name="second"):
        await cluster.until(lambda: event(cluster, "ServedByAnother"))
        (message,) = [one["message"] for one in cluster.events]
        assert "kubectl patch aep reports -n demo --subresource=status" in message
        cluster.change(ENDPOINT, {"status": {"operator": None}})
        await cluster.until(lambda: served(cluster) == "here/second")


async def test_a_resource_that_another_operator_lets_go_of_at_once_is_no_conflict(
    cluster: FakeCluster, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served_by, "REPORT_SECONDS", 60.0)
    cluster.save(resource(redis_url) | {"status": {"operator": FIRST}})
    here = leading(cluster, operator_namespace="here", lease_name="second")
    async with renewed(cluster), here as led:
        # The first has not yet seen that the class changed.
        await eventually(lambda: bool(led.leader.served_by_others))
        assert served(cluster) == FIRST
        cluster.change(ENDPOINT, {"status": {"operator": None}})
        await cluster.until(lambda: served(cluster) == "here/second")
        await cluster.until(lambda: reason(cluster, "QueueReachable") == "Reachable")
    assert not event(cluster, "ServedByAnother")


class Two:
    """Two operators of one class that see the same resources, a and b, neither at work."""

    def __init__(self, cluster: FakeCluster, **serving: str) -> None:
        caches = [Cache(lambda _: None) for _ in range(2)]

        def put(manifest: Manifest) -> None:
            for cache in caches:
                cache.put(manifest)

        cluster.put = put
        self.cluster = cluster
        for name in ("a", "b"):
            status = {"status": {"operator": serving[name]}} if name in serving else {}
            cluster.save(merge(resource(), {"metadata": {"name": name}}) | status)
        self.first, self.second = (
            ServedBy(cluster, cache, own, None, EventPublisher(cluster, own))
            for cache, own in zip(caches, (FIRST, "here/second"), strict=True)
        )

    async def claim(self, operator: ServedBy, name: str) -> bool:
        """Whether the operator serves the resource after it was asked to claim it."""
        return isinstance(await operator.serve(f"demo/{name}"), dict)


async def test_a_new_resource_is_left_to_the_operator_that_serves_the_others(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = Two(cluster, b=FIRST)
    cluster.save(LEASE)
    assert not await two.claim(two.second, "a")
    assert await two.claim(two.first, "a")
    cluster.save(merge(resource(), {"metadata": {"name": "c"}}))
    assert not await two.claim(two.second, "c")
    monkeypatch.setattr(served_by, "LEFT_SECONDS", 0.0)  # the first does not see it
    assert await two.claim(two.second, "c")


async def test_of_two_that_start_at_once_one_serves_all(cluster: FakeCluster) -> None:
    two = Two(cluster)
    cluster.save(LEASE)
    assert not await two.claim(two.second, "b")
    assert await two.claim(two.first, "a")
    assert not await two.claim(two.second, "b")
    assert await two.claim(two.first, "b")


async def test_what_a_gone_operator_served_goes_to_one_of_those_left(cluster: FakeCluster) -> None:
    gone = "elsewhere/gone"
    two = Two(cluster, a=gone, b=gone)
    cluster.save(LEASE)
    assert not await two.claim(two.second, "b")
    assert await two.claim(two.first, "a")
    assert not await two.claim(two.second, "b")
    assert await two.claim(two.first, "b")
