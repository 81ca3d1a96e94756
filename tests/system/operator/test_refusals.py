"""Steps that the API server refuses, whatever its status code."""

import base64

import pytest

from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_core.store.replies import WorkerInfo
from asyncendpoints_operator.control import drained_pods, failures, reconcile
from asyncendpoints_operator.kube.client import Ref, Refused
from asyncendpoints_operator.queues import redis_locations
from support.kube.fake_cluster import FakeCluster
from support.kube.leading import (
    ENDPOINT,
    GATEWAY,
    SERVICE,
    WORKER,
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

DOWN = 'Internal error occurred: failed calling webhook "policy.example.com"'


@pytest.fixture
async def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    monkeypatch.setattr(failures, "SHOWN_SECONDS", 0.3)
    return FakeCluster()


def kinds_of(cluster: FakeCluster) -> set[str]:
    return {one["kind"] for one in cluster.objects.values()}


@pytest.mark.parametrize("status", [404, 409, 500])
async def test_an_internal_error_for_one_child_is_shown_and_the_others_are_applied(
    cluster: FakeCluster, redis_url: str, status: int
) -> None:
    cluster.refusals["ConfigMap"] = Refused(status, "Conflict" if status == 409 else "", DOWN)
    cluster.save(resource(redis_url))
    async with leading(cluster):
        await cluster.until(lambda: event(cluster, "ApplyRefused"))
        assert DOWN in condition(cluster, "Degraded")["message"]
        assert reason(cluster, "Progressing") == reason(cluster, "Ready") == "ApplyRefused"
        assert SERVICE.path in cluster.objects
        assert WORKER.path in cluster.objects
        cluster.refusals.clear()
        await cluster.until(lambda: reason(cluster, "Degraded") == "AsExpected")
        assert "ConfigMap" in kinds_of(cluster)
    assert sum(one["reason"] == "ApplyRefused" for one in cluster.events) == 1


async def test_no_pod_is_asked_for_before_its_service_account_exists(
    cluster: FakeCluster, redis_url: str
) -> None:
    cluster.refusals["ServiceAccount"] = Refused(403, "Forbidden", "exceeded quota: accounts")
    cluster.save(resource(redis_url))
    async with leading(cluster):
        await cluster.until(lambda: reason(cluster, "Degraded") == "ApplyRefused")
        assert SERVICE.path in cluster.objects
        assert not {GATEWAY.path, WORKER.path} & set(cluster.objects)
        assert reason(cluster, "GatewayAvailable") == "NotCreated"
        cluster.refusals.clear()
        await cluster.until(lambda: {GATEWAY.path, WORKER.path} <= set(cluster.objects))
        # One that exists is changed all the same: its pods may run.
        cluster.drop(Ref("v1", "ServiceAccount", "demo", "reports-worker"))
        cluster.refusals["ServiceAccount"] = Refused(403, "Forbidden", "exceeded quota: accounts")
        cluster.change(ENDPOINT, {"spec": {"worker": {"concurrency": 7}}})
        generation = cluster.objects[WORKER.path]["metadata"]["generation"]
        await cluster.until(
            lambda: cluster.objects[WORKER.path]["metadata"]["generation"] > generation
        )


async def test_a_quota_on_secrets_is_named_and_children_are_applied(cluster: FakeCluster) -> None:
    with RedisServer(requirepass="owner") as server:
        cluster.refusals["Secret"] = Refused(403, "Forbidden", "exceeded quota: no-secrets")
        cluster.save(resource())
        async with leading(cluster, redis_url=server.url):
            await cluster.until(lambda: reason(cluster, "Degraded") == "ApplyRefused")
            assert "no-secrets" in condition(cluster, "Degraded")["message"]
            assert WORKER.path in cluster.objects
            cluster.refusals.clear()
            await cluster.until(lambda: "Secret" in kinds_of(cluster))
            await cluster.until(lambda: reason(cluster, "Degraded") == "AsExpected")


@pytest.mark.parametrize("known", [False, True])
async def test_a_secret_that_cannot_be_decrypted_is_named_and_stops_nothing(
    cluster: FakeCluster,
    redis_url: str,
    store: RedisStore,
    known: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(redis_locations, "SECRET_SECONDS", 0.0)
    monkeypatch.setattr(reconcile, "_STUCK_SECONDS", 1.0)
    cannot = Refused(500, "InternalError", "Internal error occurred: cannot be decrypted")
    secret = {"name": "redis", "namespace": "demo"}
    data = {"url": base64.b64encode(redis_url.encode()).decode()}
    cluster.save({"apiVersion": "v1", "kind": "Secret", "metadata": secret, "data": data})
    cluster.save(
        merge(resource(), {"spec": {"redis": {"secretRef": {"name": "redis", "key": "url"}}}})
    )
    if not known:
        cluster.read_errors["Secret"] = cannot
    async with leading(cluster, counts_seconds=0.1):
        await cluster.until(lambda: WORKER.path in cluster.objects)
        if known:
            await cluster.until(lambda: reason(cluster, "QueueReachable") == "Reachable")
            cluster.read_errors["Secret"] = cannot
            cluster.change(ENDPOINT, {"spec": {"worker": {"concurrency": 7}}})
        await cluster.until(lambda: reason(cluster, "Degraded") == "SecretNotReadable")
        assert "cannot be decrypted" in condition(cluster, "Degraded")["message"]
        expected = "Reachable" if known else "SecretNotReadable"
        await cluster.until(lambda: reason(cluster, "QueueReachable") == expected)
        await store.enqueue([new_job()])
        if known:
            await cluster.until(lambda: replicas(cluster) == 1)
        cluster.read_errors.clear()
        await cluster.until(lambda: reason(cluster, "Degraded") == "AsExpected")
        await cluster.until(lambda: replicas(cluster) == 1)


async def test_scaling_goes_as_far_as_a_policy_allows_and_says_so(
    cluster: FakeCluster, redis_url: str, store: RedisStore
) -> None:
    cluster.save(resource(redis_url, autoscaling={"maxReplicas": 8}, worker={"concurrency": 1}))
    cluster.max_replicas = 3
    async with leading(cluster):
        await cluster.until(lambda: reason(cluster, "ScalingActive") == "Steady")
        await store.enqueue([new_job() for _ in range(50)])
        await cluster.until(lambda: replicas(cluster) == 1)
        made = pod(cluster, conditions=[{"type": "Ready", "status": "True"}])
        await store.register(WorkerInfo("w1", made["metadata"]["uid"], "nonce", 1))
        await cluster.until(lambda: replicas(cluster) == 3)
        await cluster.until(lambda: reason(cluster, "ScalingActive") == "ScalingRefused")
        assert "at most 3" in condition(cluster, "ScalingActive")["message"]
        deployed(cluster, GATEWAY, 2)
        deployed(cluster, WORKER, 1)
        await cluster.until(lambda: condition(cluster, "Ready")["status"] == "True")
        cluster.max_replicas = 100
        await cluster.until(lambda: (replicas(cluster) or 0) > 3)
        await cluster.until(lambda: reason(cluster, "ScalingActive") != "ScalingRefused")


async def test_a_status_that_is_refused_is_in_an_event(
    cluster: FakeCluster, redis_url: str, store: RedisStore
) -> None:
    cluster.save(resource(redis_url))
    async with leading(cluster, counts_seconds=0.1):
        await cluster.until(lambda: reason(cluster, "QueueReachable") == "Reachable")
        cluster.refusals["AsyncEndpoint"] = Refused(403, "Forbidden", "no status today")
        await store.enqueue([new_job()])
        await cluster.until(lambda: event(cluster, "StatusRefused"))
        cluster.refusals.clear()
        await cluster.until(lambda: cluster.endpoint()["status"]["jobs"]["queued"] == 1)


async def test_a_writer_that_changes_the_replicas_again_and_again_is_named(
    cluster: FakeCluster, redis_url: str, store: RedisStore
) -> None:
    cluster.save(resource(redis_url, replicas=1))
    async with leading(cluster):
        await cluster.until(lambda: reason(cluster, "ScalingActive") == "Pinned")
        await store.enqueue([new_job()])  # so that it is read every second
        writer = {"manager": "autoscaler", "time": "2026-01-01T00:00:00Z", "subresource": "scale"}
        for _ in range(6):
            theirs = {"metadata": {"managedFields": [writer]}, "spec": {"replicas": 0}}
            cluster.change(WORKER, theirs)
            await cluster.until(lambda: replicas(cluster) == 1)
        await cluster.until(lambda: reason(cluster, "Degraded") == "DriftLoop")
        assert "autoscaler" in condition(cluster, "Degraded")["message"]
        await cluster.until(lambda: event(cluster, "DriftLoop"))


async def test_a_drained_pod_that_may_not_be_deleted_is_named_and_the_status_goes_on(
    cluster: FakeCluster,
    redis_url: str,
    store: RedisStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drained_pods, "SIDECAR_SECONDS", 0.1)
    spec = {"sidecars": [{"name": "proxy", "image": "proxy:1"}]}
    cluster.save(resource(redis_url, worker=spec))
    async with leading(cluster, counts_seconds=0.1):
        await cluster.until(lambda: replicas(cluster) is not None)
        name = pod(cluster)["metadata"]["name"]
        ref = Ref("v1", "Pod", "demo", name)
        cluster.refusals["Pod"] = Refused(403, "Forbidden", "pods must not be deleted by force")
        cluster.change(ref, {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})
        await store.enqueue([new_job()])  # so that it is read every second
        await cluster.until(lambda: reason(cluster, "Degraded") == "ScalingRefused")
        assert f"Pod {name}: pods must not" in condition(cluster, "Degraded")["message"]
        await store.enqueue([new_job()])
        await cluster.until(lambda: cluster.endpoint()["status"]["jobs"]["queued"] == 2)
        cluster.refusals.clear()
        await cluster.until(lambda: ref.path not in cluster.objects)
        await cluster.until(lambda: reason(cluster, "Degraded") == "AsExpected")


@pytest.mark.parametrize("status", [404, 409])
async def test_a_status_that_a_webhook_refuses_with_any_code_is_in_an_event(
    cluster: FakeCluster, redis_url: str, store: RedisStore, status: int
) -> None:
    """A deleted or changed resource is answered with a reason of the API server as well."""
    cluster.refusals["AsyncEndpoint"] = Refused(status, "", DOWN)
    cluster.save(resource(redis_url))
    async with leading(cluster, counts_seconds=0.1):
        await cluster.until(lambda: WORKER.path in cluster.objects)
        await cluster.until(lambda: event(cluster, "StatusRefused"))
        cluster.refusals.clear()
        await cluster.until(lambda: reason(cluster, "QueueReachable") == "Reachable")


async def test_an_internal_error_is_in_the_status(
    cluster: FakeCluster, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("out of ideas")

    with monkeypatch.context() as broken:
        broken.setattr(reconcile, "desired", fails)
        cluster.save(resource(redis_url))
        async with leading(cluster):
            await cluster.until(lambda: reason(cluster, "Degraded") == "ReconcileFailed")
            assert "out of ideas" in condition(cluster, "Degraded")["message"]
            await cluster.until(lambda: event(cluster, "ReconcileFailed"))
            broken.undo()
            await cluster.until(lambda: reason(cluster, "Degraded") == "AsExpected")


async def test_a_kind_that_is_not_installed_is_named(cluster: FakeCluster, redis_url: str) -> None:
    cluster.refusals["HTTPRoute"] = Refused(404, "Not Found", "404 page not found")
    route = {"parentRefs": [{"name": "public"}]}
    cluster.save(resource(redis_url, gateway={"httpRoute": route}))
    async with leading(cluster):
        await cluster.until(lambda: reason(cluster, "Degraded") == "ApplyRefused")
        kind = "does not have gateway.networking.k8s.io/v1 HTTPRoute"
        assert kind in condition(cluster, "Degraded")["message"]


async def test_events_that_are_refused_are_logged_once(
    cluster: FakeCluster, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.refusals["Event"] = Refused(403, "Forbidden", "exceeded quota: events")
    cluster.save(resource(redis_url))
    async with leading(cluster):
        await cluster.until(lambda: reason(cluster, "QueueReachable") == "Reachable")
        cluster.change(ENDPOINT, {"spec": {"replicas": 1}})
        await cluster.until(lambda: reason(cluster, "ScalingActive") == "Pinned")
    found = [one for one in caplog.records if "was not published" in one.getMessage()]
    assert [one.levelname for one in found if one.levelname != "DEBUG"] == ["WARNING"]
