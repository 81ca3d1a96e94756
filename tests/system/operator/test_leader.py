"""The leader at work: a resource, real Redis and a Kubernetes API in memory."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import msgspec
import pytest
from redis import Redis

from asyncendpoints_core.jobs.policy import Policy
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.scaling.decide import Memory
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_core.store.redis.users import user_of
from asyncendpoints_core.store.replies import Identity, WorkerInfo
from asyncendpoints_operator.kube.client import Ref, Refused
from support.kube.fake_cluster import FakeCluster
from support.kube.leading import (
    ENDPOINT,
    GATEWAY,
    SERVICE,
    WORKER,
    Lease,
    condition,
    deployed,
    event,
    leading,
    pod,
    reason,
    replicas,
    resource,
)
from support.queues import new_job
from support.redis.server import RedisServer
from support.resources import merge
from support.store.work import eventually


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisStore]:
    one = RedisStore(redis_url, "demo/reports")
    yield one
    await one.close()


async def test_a_resource_becomes_children_and_a_status(
    cluster: FakeCluster, redis_url: str, store: RedisStore
) -> None:
    cluster.save(resource(redis_url, autoscaling={"minReplicas": 2}))
    async with leading(cluster):
        await cluster.until(lambda: reason(cluster, "QueueReachable") == "Reachable")
        assert (replicas(cluster), replicas(cluster, GATEWAY)) == (2, 2)
        assert SERVICE.path in cluster.objects
        deployed(cluster, GATEWAY, 2)
        deployed(cluster, WORKER, 2)
        await cluster.until(lambda: condition(cluster, "Ready").get("status") == "True")
        await cluster.until(lambda: event(cluster, "GatewayReady"))
        status = cluster.endpoint()["status"]
        assert status["observedGeneration"] == 1
        assert status["queue"] == redis_url.rpartition("@")[2] or status["queue"] in redis_url
        owned = await store.ownership()
        assert owned.owner == Identity("here", cluster.endpoint()["metadata"]["uid"])
        # A changed resource reaches the children and the queue.
        cluster.change(ENDPOINT, {"spec": {"gateway": {"replicas": 3}, "queue": {"maxDepth": 9}}})
        await cluster.until(lambda: replicas(cluster, GATEWAY) == 3)
        await store.open()

        async def configured() -> bool:
            return (await store.configure(Policy(), overwrite=False)).max_depth == 9

        await eventually(configured)


async def test_a_generation_counts_as_observed_once_its_children_were_applied(
    cluster: FakeCluster, redis_url: str, store: RedisStore
) -> None:
    cluster.save(resource(redis_url, replicas=1))
    async with leading(cluster, counts_seconds=0.1):
        await cluster.until(lambda: reason(cluster, "QueueReachable") == "Reachable")
        await cluster.until(lambda: cluster.endpoint()["status"]["observedGeneration"] == 1)
        cluster.may_apply.clear()
        cluster.change(ENDPOINT, {"spec": {"gateway": {"replicas": 3}}})
        await store.open()
        await store.enqueue([new_job()])  # so that a reading writes the status meanwhile
        await cluster.until(lambda: cluster.endpoint()["status"]["jobs"]["queued"] == 1)
        assert cluster.endpoint()["status"]["observedGeneration"] == 1
        cluster.may_apply.set()
        await cluster.until(lambda: cluster.endpoint()["status"]["observedGeneration"] == 2)
        assert replicas(cluster, GATEWAY) == 3


async def test_workers_follow_the_jobs_and_a_new_leader_continues(
    cluster: FakeCluster, redis_url: str, store: RedisStore
) -> None:
    cluster.save(resource(redis_url))
    async with leading(cluster):
        await cluster.until(lambda: reason(cluster, "ScalingActive") == "Steady")
        assert replicas(cluster) == 0
        await store.open()
        await store.enqueue([new_job() for _ in range(3)])
        await cluster.until(lambda: replicas(cluster) == 1)
        await cluster.until(lambda: cluster.endpoint()["status"].get("wantedReplicas") == 1)
        await cluster.until(lambda: event(cluster, "ScaledUp"))
        assert cluster.endpoint()["status"]["jobs"]["queued"] == 3
        await eventually(lambda: has_note(store))
    note = (await store.ownership()).notes["scaling"]
    sent = len(cluster.events)
    async with leading(cluster) as led:
        await eventually(lambda: has_note(store, other_than=note))
        assert replicas(cluster) == 1
        assert led.leader.figures().decisions
    assert len(cluster.events) == sent


async def test_a_new_leader_resolves_nothing_before_it_has_looked(
    cluster: FakeCluster, redis_url: str, store: RedisStore
) -> None:
    late = {"type": "Degraded", "status": "True", "reason": "NotReady", "message": "late"}
    cluster.save(resource(redis_url))
    async with leading(cluster):
        await cluster.until(lambda: reason(cluster, "ScalingActive") == "Steady")
        await eventually(lambda: has_note(store))
    note = (await store.ownership()).notes["scaling"]
    change = {"spec": {"gateway": {"replicas": 3}}, "status": {"conditions": [late]}}
    cluster.change(ENDPOINT, change)
    cluster.may_apply.clear()
    async with leading(cluster):
        await eventually(lambda: has_note(store, other_than=note))
        assert reason(cluster, "Degraded") == "NotReady"
        cluster.may_apply.set()
        await cluster.until(lambda: reason(cluster, "Degraded") != "NotReady")


async def has_note(store: RedisStore, other_than: str = "") -> bool:
    """Whether the memory of a scaling decision is stored beside the queue."""
    return (await store.ownership()).notes.get("scaling", "") not in ("", other_than)


async def test_a_new_leader_whose_first_reading_fails_still_has_the_memory_of_the_last(
    cluster: FakeCluster,
) -> None:
    with RedisServer(appendonly=True) as server:
        cluster.save(resource(server.url))
        store = RedisStore(server.url, "demo/reports")
        async with leading(cluster):
            await eventually(lambda: has_note(store))
        now_ms = (await store.stats()).now_ms
        noted = msgspec.json.encode(Memory(at_ms=now_ms, active_ms=1)).decode()
        await store.note(scaling=noted)
        await asyncio.to_thread(server.stop)
        async with leading(cluster):
            await cluster.until(lambda: reason(cluster, "QueueReachable") == "Unreachable")
            await asyncio.to_thread(server.start)
            await eventually(lambda: has_note(store, other_than=noted))
        memory = msgspec.json.decode((await store.ownership()).notes["scaling"], type=Memory)
        outage_ms = memory.at_ms - now_ms  # not counted as idle time
        assert memory.active_ms <= 1 + outage_ms
        await store.close()


async def test_suspend_and_pins_are_written_to_the_deployment(
    cluster: FakeCluster, redis_url: str
) -> None:
    cluster.save(resource(redis_url, replicas=2))
    async with leading(cluster):
        await cluster.until(lambda: reason(cluster, "ScalingActive") == "Pinned")
        assert replicas(cluster) == 2
        cluster.change(ENDPOINT, {"spec": {"replicas": 4}})
        await cluster.until(lambda: replicas(cluster) == 4)
        cluster.change(ENDPOINT, {"spec": {"suspend": True}})
        await cluster.until(lambda: reason(cluster, "ScalingActive") == "Suspended")
        await cluster.until(lambda: replicas(cluster) == 0)


async def test_an_invalid_resource_is_reported_and_the_previous_one_continues(
    cluster: FakeCluster, redis_url: str, store: RedisStore
) -> None:
    cluster.save(resource(redis_url))
    async with leading(cluster):
        await cluster.until(lambda: reason(cluster, "QueueReachable") == "Reachable")
        deployed(cluster, GATEWAY, 2)
        before = cluster.objects[WORKER.path]
        cluster.change(ENDPOINT, {"spec": {"routes": [{"path": "no-slash", "job": "x"}]}})
        await cluster.until(lambda: reason(cluster, "RoutesAccepted") == "InvalidSpec")
        assert reason(cluster, "Ready") == "InvalidSpec"
        assert cluster.endpoint()["status"]["observedGeneration"] == 2
        assert cluster.objects[WORKER.path] == before
        assert reason(cluster, "GatewayAvailable") == "GatewayReady"
        await store.open()
        await store.enqueue([new_job()])
        await cluster.until(lambda: replicas(cluster) == 1)
        await cluster.until(lambda: reason(cluster, "WorkersAvailable") == "WorkersStarting")
        cluster.save(merge(resource(redis_url), {"status": cluster.endpoint()["status"]}))
        await cluster.until(lambda: reason(cluster, "RoutesAccepted") == "Accepted")


async def test_a_container_that_ended_gives_its_jobs_back(
    cluster: FakeCluster, redis_url: str, store: RedisStore
) -> None:
    cluster.save(resource(redis_url, replicas=1))
    async with leading(cluster):
        await cluster.until(lambda: reason(cluster, "QueueReachable") == "Reachable")
        made = pod(cluster)
        await store.open()
        await store.register(WorkerInfo("w1", made["metadata"]["uid"], "nonce", 4))
        await store.enqueue([new_job()])
        assert len((await store.claim("w1", 1, 1)).jobs) == 1
        terminated = {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-01-01T00:10:00Z"}
        ended = {"name": "worker", "restartCount": 0, "state": {"terminated": terminated}}
        pod(cluster, phase="Failed", containerStatuses=[ended])
        await cluster.until(lambda: event(cluster, "WorkerLost"))
        found = event(cluster, "WorkerLost")
        assert found is not None
        assert "OOMKilled" in found["message"]
        assert (await store.stats()).held == 0


async def test_a_pod_that_is_gone_and_silent_gives_its_jobs_back(
    cluster: FakeCluster, redis_url: str, store: RedisStore
) -> None:
    cluster.save(resource(redis_url, replicas=1, timeouts={"leaseSeconds": 8}))
    async with leading(cluster, counts_seconds=0.1):
        await cluster.until(lambda: reason(cluster, "QueueReachable") == "Reachable")
        made = pod(cluster)
        await cluster.until(lambda: replicas(cluster) == 1)
        await store.open()
        await store.register(WorkerInfo("w1", made["metadata"]["uid"], "nonce", 4))
        await store.enqueue([new_job()])
        assert len((await store.claim("w1", 1, 1)).jobs) == 1
        await cluster.until(lambda: cluster.endpoint()["status"]["jobs"]["inProgress"] == 1)
        cluster.drop(Ref("v1", "Pod", "demo", "reports-worker-a"))
        await cluster.until(lambda: event(cluster, "WorkerLost"))
        found = event(cluster, "WorkerLost")
        assert found is not None
        assert "pod is gone" in found["message"]


async def test_a_deleted_endpoint_s_queue_is_purged_on_request(
    cluster: FakeCluster, redis_url: str, store: RedisStore
) -> None:
    cluster.save(resource(redis_url, onDelete="Purge"))
    async with leading(cluster):
        await cluster.until(lambda: reason(cluster, "QueueReachable") == "Reachable")
        cluster.drop(ENDPOINT)

        async def purged() -> bool:
            return (await store.ownership()).purged

        await eventually(purged)


async def test_a_resource_with_another_uid_starts_from_scratch(
    cluster: FakeCluster, redis_url: str, store: RedisStore
) -> None:
    cluster.save(resource(redis_url))
    async with leading(cluster):
        await cluster.until(lambda: reason(cluster, "QueueReachable") == "Reachable")
        await store.open()
        await store.enqueue([new_job()])
        gone = cluster.objects.pop(ENDPOINT.path)
        made = cluster.save(resource(redis_url))
        assert made["metadata"]["uid"] != gone["metadata"]["uid"]
        for child in cluster.objects.values():  # those of the old one are collected
            for owner in child["metadata"].get("ownerReferences") or ():
                owner["uid"] = made["metadata"]["uid"]
        await cluster.until(lambda: event(cluster, "QueueAdopted"))
        adopted = (await store.ownership()).owner
        assert adopted == Identity("here", made["metadata"]["uid"])


async def test_a_child_that_is_changed_back_again_and_again_is_left_alone(
    cluster: FakeCluster, redis_url: str
) -> None:
    cluster.save(resource(redis_url))
    async with leading(cluster) as led:

        def corrected(count: int) -> bool:
            applied = led.leader.figures().applies >= count
            return applied or reason(cluster, "Degraded") == "DriftLoop"

        await cluster.until(lambda: reason(cluster, "QueueReachable") == "Reachable")
        for _ in range(6):
            count = led.leader.figures().applies + 1
            cluster.change(SERVICE, {"spec": {"type": "NodePort"}})
            await cluster.until(partial(corrected, count))
        assert reason(cluster, "Degraded") == "DriftLoop"
        assert cluster.objects[SERVICE.path]["spec"]["type"] == "NodePort"


async def test_a_child_that_is_refused_or_another_s_is_named(
    cluster: FakeCluster, redis_url: str
) -> None:
    cluster.save(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "reports", "namespace": "demo"},
            "spec": {},
        }
    )
    cluster.refusals["ConfigMap"] = Refused(403, "Forbidden", "exceeded quota")
    cluster.save(resource(redis_url))
    async with leading(cluster):
        await cluster.until(lambda: reason(cluster, "Degraded") == "ApplyRefused")
        text = condition(cluster, "Degraded")["message"]
        assert "exceeded quota" in text
        assert "Service reports: " in text
        assert cluster.objects[SERVICE.path]["spec"] == {}


async def test_a_queue_that_would_be_left_behind_holds_everything(
    cluster: FakeCluster, redis_url: str
) -> None:
    cluster.save(resource(redis_url))
    with RedisServer() as other:
        async with leading(cluster):
            await cluster.until(lambda: reason(cluster, "QueueReachable") == "Reachable")
            before = cluster.endpoint()["status"]["queue"]
            cluster.change(
                ENDPOINT, {"spec": {"redis": {"url": other.url}, "gateway": {"replicas": 5}}}
            )
            await cluster.until(lambda: reason(cluster, "QueueReachable") == "QueueMoved")
            assert replicas(cluster, GATEWAY) == 2
            cluster.change(ENDPOINT, {"spec": {"redis": {"leaveQueue": before}}})
            await cluster.until(lambda: reason(cluster, "QueueReachable") == "Reachable")
            await cluster.until(lambda: replicas(cluster, GATEWAY) == 5)
            assert cluster.endpoint()["status"]["queue"] in other.url


async def test_without_a_redis_it_says_so(cluster: FakeCluster) -> None:
    cluster.save(resource())
    async with leading(cluster):
        await cluster.until(lambda: reason(cluster, "QueueReachable") == "NotConfigured")
        assert replicas(cluster) == 0


async def test_each_endpoint_on_the_operator_s_redis_has_a_user_and_gets_it_again(
    cluster: FakeCluster,
) -> None:
    with RedisServer(requirepass="owner") as server, Redis.from_url(server.url) as client:
        cluster.save(resource())
        async with leading(cluster, redis_url=server.url):
            await cluster.until(lambda: reason(cluster, "QueueReachable") == "Reachable")
            user = user_of("demo/reports")
            assert user in client.acl_users()
            secret = next(o for o in cluster.objects.values() if o["kind"] == "Secret")
            url = secret["stringData"]["url"]
            assert user in url
            with Redis.from_url(url, driver_info=None) as tenant:
                assert tenant.ping()
            server.restart()
            await eventually(lambda: user in client.acl_users())


async def test_without_users_it_says_that_the_queue_is_shared(
    cluster: FakeCluster, redis_url: str
) -> None:
    cluster.save(resource())
    async with leading(cluster, redis_url=redis_url):
        await cluster.until(lambda: reason(cluster, "QueueShared") == "AclOff")


async def test_another_class_is_left_alone(cluster: FakeCluster, redis_url: str) -> None:
    cluster.save(resource(redis_url, className="other"))
    async with leading(cluster) as led:
        await eventually(lambda: len(led.workqueue) == 0)
        assert len(cluster.objects) == 1


async def test_one_that_no_longer_leads_writes_no_status(
    cluster: FakeCluster, redis_url: str, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.save(resource(redis_url, suspend=True))
    async with leading(cluster) as it:

        def decisions() -> int:
            return sum(it.leader.figures().decisions.values())

        await cluster.until(lambda: "jobs" in cluster.endpoint().get("status", {}))
        monkeypatch.setattr(Lease, "leading", property(lambda _: False))
        await store.enqueue([new_job()])
        made = decisions()
        await eventually(lambda: decisions() > made + 3)  # counts wait for 2 s at most
        (figures,) = it.leader.figures().endpoints
        assert figures.stats is not None
        assert figures.stats.counts[State.QUEUED] == 1
        assert cluster.endpoint()["status"]["jobs"]["queued"] == 0
