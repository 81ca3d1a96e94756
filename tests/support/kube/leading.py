"""The leader at work on a Kubernetes API in memory, for tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from asyncendpoints_core.process.settings import Settings
from asyncendpoints_core.resource import API_VERSION, KIND
from asyncendpoints_operator.control.leader import Leader
from asyncendpoints_operator.kube.cache import Cache
from asyncendpoints_operator.kube.client import Ref
from asyncendpoints_operator.kube.election import Leadership
from asyncendpoints_operator.kube.workqueue import WorkQueue
from asyncendpoints_operator.main.operator import platform_of
from support.kube.fake_cluster import FakeCluster
from support.resources import MINIMAL, merge

ENDPOINT = Ref(API_VERSION, KIND, "demo", "reports")
WORKER = Ref("apps/v1", "Deployment", "demo", "reports-worker")
GATEWAY = Ref("apps/v1", "Deployment", "demo", "reports-gateway")
SERVICE = Ref("v1", "Service", "demo", "reports")


class Lease(Leadership):
    """Leads from the beginning to the end."""

    def __init__(self) -> None:
        self.epoch = 1
        self.requests = 0

    @property
    def leading(self) -> bool:
        return True


@dataclass
class Leading:
    """A leader at work, and the keys that it has still to reconcile."""

    leader: Leader
    workqueue: WorkQueue


@asynccontextmanager
async def leading(cluster: FakeCluster, **more: Any) -> AsyncIterator[Leading]:
    """A leader of class "default" that is notified of every change of the cluster."""
    settings = Settings(installation_id="here", **more)
    workqueue = WorkQueue()
    cache = Cache(workqueue.add)
    cluster.put, cluster.remove = cache.put, cache.remove
    for manifest in cluster.objects.values():
        cache.put(manifest)
    lease = Lease()
    cluster.guard = lease.check
    leader = Leader(settings, platform_of(settings), cluster, cache, lease, workqueue)
    task = asyncio.create_task(leader.run())
    try:
        yield Leading(leader, workqueue)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def resource(url: str | None = None, **spec: Any) -> dict[str, Any]:
    redis = {"url": url} if url else None
    return merge(MINIMAL, {"spec": {"redis": redis, **spec}})


def condition(cluster: FakeCluster, kind: str) -> dict[str, Any]:
    found = (cluster.endpoint().get("status") or {}).get("conditions") or ()
    return next((one for one in found if one["type"] == kind), {})


def reason(cluster: FakeCluster, kind: str) -> str:
    return str(condition(cluster, kind).get("reason"))


def replicas(cluster: FakeCluster, ref: Ref = WORKER) -> int | None:
    found = cluster.objects.get(ref.path)
    return None if found is None else int(found["spec"]["replicas"])


def event(cluster: FakeCluster, of: str) -> dict[str, Any] | None:
    return next((one for one in cluster.events if one["reason"] == of), None)


def deployed(cluster: FakeCluster, ref: Ref, ready: int) -> None:
    """Report what a Deployment's controller would."""
    found = cluster.objects[ref.path]
    counts = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    status = {"observedGeneration": found["metadata"]["generation"], **dict.fromkeys(counts, ready)}
    cluster.change(ref, {"status": status})


def pod(
    cluster: FakeCluster, name: str = "reports-worker-a", of: Ref = WORKER, **status: Any
) -> dict[str, Any]:
    """Put a pod of a Deployment's present template there."""
    template = cluster.objects[of.path]["spec"]["template"]
    return cluster.save(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                **template["metadata"],
                "name": name,
                "namespace": "demo",
                "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": {**template["spec"], "nodeName": "node"},
            "status": {"phase": "Running", **status},
        }
    )
