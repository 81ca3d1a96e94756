"""The Secrets of an endpoint's console, across restarts of the operator."""

from typing import Any

from asyncendpoints_operator.desired.gateway import console_uids
from support.kube.fake_cluster import FakeCluster
from support.kube.leading import ENDPOINT, GATEWAY, leading, reason, resource

NAMES = ("reports-console-view", "reports-console-operate")


def uids(cluster: FakeCluster) -> list[str]:
    """The UIDs of both Secrets."""
    found = [cluster.find("Secret", name) for name in NAMES]
    return [str(one["metadata"]["uid"]) for one in found if one is not None]


def mounted(cluster: FakeCluster) -> list[str]:
    """The UIDs of those that the gateway's pods mount."""
    return list(console_uids(cluster.objects.get(GATEWAY.path)).values())


def recorded(cluster: FakeCluster) -> dict[str, Any]:
    status = cluster.endpoint().get("status") or {}
    return dict(status.get("consoleSecrets") or {})


async def test_they_are_known_after_the_gateways_deployment_was_deleted_meanwhile(
    cluster: FakeCluster, redis_url: str
) -> None:
    cluster.save(resource(redis_url))
    async with leading(cluster):
        await cluster.until(lambda: reason(cluster, "Degraded") == "AsExpected")
    before = uids(cluster)
    assert mounted(cluster) == before
    cluster.drop(GATEWAY)
    async with leading(cluster):
        await cluster.until(lambda: GATEWAY.path in cluster.objects)
        assert mounted(cluster) == uids(cluster) == before
    assert list(recorded(cluster).values()) == before


async def test_they_are_forgotten_where_the_console_is_off(
    cluster: FakeCluster, redis_url: str
) -> None:
    cluster.save(resource(redis_url))
    async with leading(cluster):
        await cluster.until(lambda: recorded(cluster))
        cluster.change(ENDPOINT, {"spec": {"gateway": {"console": {"enabled": False}}}})
        await cluster.until(lambda: not recorded(cluster))
        assert uids(cluster) == mounted(cluster) == []
