"""Children that exist already: adopted, replaced, put right, or left alone."""

from collections.abc import Iterable
from typing import Any

import pytest

from asyncendpoints_core.resource import KIND, AsyncEndpoint
from asyncendpoints_operator.control.apply import Children, OwnerGone
from asyncendpoints_operator.control.failures import Failures
from asyncendpoints_operator.desired.gateway import FIRST_REPLICAS
from asyncendpoints_operator.desired.naming import Live, Manifest, Platform, is_ours
from asyncendpoints_operator.desired.objects import desired, obsolete
from asyncendpoints_operator.kube.cache import Cache
from asyncendpoints_operator.kube.client import Ref, Refused
from support.kube.fake_cluster import FakeCluster
from support.resources import MINIMAL, merge

PLATFORM = Platform("gateway:1", "worker:1", "it")


class Immutable(FakeCluster):
    """A cluster that refuses to change immutable ConfigMaps, as the API server does."""

    async def apply(self, manifest: Manifest) -> Manifest:
        old = self.find(manifest["kind"], manifest["metadata"]["name"])
        if old is not None and old.get("immutable") and old["data"] != manifest["data"]:
            raise Refused(422, "Invalid", "data: field is immutable when `immutable` is set")
        return await super().apply(manifest)


class Applied:
    """An endpoint whose children are applied to a cluster in memory."""

    def __init__(self, **gateway: Any) -> None:
        self.cluster = Immutable()
        self.cache = Cache(lambda _: None)
        self.cluster.put, self.cluster.remove = self.cache.put, self.cache.remove
        self.now = 0.0
        self.failures = Failures(lambda: self.now)
        self.children = Children(self.cluster, self.cache, self.failures)
        saved = self.cluster.save(merge(MINIMAL, {"spec": {"gateway": gateway}}))
        self.endpoint = AsyncEndpoint.parse(
            {**saved, "metadata": {k: saved["metadata"][k] for k in ("name", "namespace", "uid")}}
        )
        self.wanted = desired(self.endpoint, PLATFORM, Live(1))

    async def apply(self) -> None:
        await self.children.apply(self.endpoint, self.wanted)

    def shown(self) -> set[str]:
        """What is reported of failures that go on."""
        return {
            f"{one.reason} {one.name}" for one in self.failures.shown(self.endpoint.metadata.uid)
        }

    def found(self, kind: str, name: str) -> Manifest:
        found = self.cluster.find(kind, name)
        assert found is not None
        return found

    def change(self, kind: str, name: str, change: dict[str, Any]) -> None:
        """Change an object as somebody else does."""
        self.cluster.save(merge(self.found(kind, name), change))

    def names(self, objects: Iterable[Any]) -> set[str]:
        return {one["metadata"]["name"] for one in objects}


ORPHANED = {"metadata": {"ownerReferences": None}}
OTHERS = {"metadata": {"ownerReferences": [{"uid": "another", "controller": True, "name": "x"}]}}


async def test_objects_without_an_owner_and_with_our_labels_are_adopted() -> None:
    it = Applied()
    await it.apply()
    for child in it.wanted:
        it.change(child["kind"], child["metadata"]["name"], ORPHANED)
    await it.apply()
    for child in it.wanted:
        assert is_ours(it.found(child["kind"], child["metadata"]["name"]), it.endpoint)


async def test_objects_that_a_deletion_orphans_are_not_taken_back() -> None:
    """The garbage collector would delete an object whose owner is gone."""
    it = Applied()
    await it.apply()
    deleted = {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}
    it.change(KIND, "reports", deleted)
    it.change("Deployment", "reports-worker", ORPHANED)
    with pytest.raises(OwnerGone):
        await it.apply()
    assert "ownerReferences" not in it.found("Deployment", "reports-worker")["metadata"]


@pytest.mark.parametrize(
    "change",
    [OTHERS, merge(ORPHANED, {"metadata": {"labels": {"asyncendpoints.io/endpoint": "other"}}})],
    ids=["another owner", "other labels"],
)
async def test_objects_of_others_are_left_alone(change: dict[str, Any]) -> None:
    it = Applied()
    await it.apply()
    it.change("Service", "reports", change)
    before = it.found("Service", "reports")
    await it.apply()
    assert it.found("Service", "reports") == before


async def test_objects_of_a_predecessor_are_awaited_without_a_word_at_first() -> None:
    it = Applied()
    await it.apply()
    owner = {"uid": "old", "controller": True, "kind": KIND, "name": "reports"}
    it.change("Service", "reports", {"metadata": {"ownerReferences": [owner]}})
    await it.apply()
    assert it.shown() == set()
    it.now += 5
    assert it.shown() == {"NameConflict reports"}
    it.change("Service", "reports", OTHERS)
    it.failures.forget(it.endpoint.metadata.uid)
    await it.apply()
    assert it.shown() == {"NameConflict reports"}


KEPT = {"metadata": {"finalizers": ["example.com/x"]}}


async def test_a_child_that_is_not_wanted_and_that_a_finalizer_keeps_is_named() -> None:
    it = Applied()
    await it.apply()
    old = merge(it.found("Service", "reports"), KEPT)
    it.cluster.save(merge(old, {"metadata": {"name": "reports-old"}}))
    requests = it.cluster.requests
    for _ in range(3):
        children = it.cache.children("demo/reports")
        found = obsolete(it.endpoint, children, it.wanted, (), rolling=False)
        it.children.settle(it.endpoint, it.wanted, found)
        await it.children.remove(it.endpoint, found)
        it.now += 5
    assert it.shown() == {"ChildTerminating reports-old"}
    assert it.cluster.requests == requests + 1
    it.cluster.drop(Ref("v1", "Service", "demo", "reports-old"))
    children = it.cache.children("demo/reports")
    it.children.settle(
        it.endpoint, it.wanted, obsolete(it.endpoint, children, it.wanted, (), rolling=False)
    )
    assert it.shown() == set()


@pytest.mark.parametrize("cached", [True, False])
async def test_a_child_that_is_wanted_and_is_being_deleted_is_named_and_made_again(
    cached: bool,
) -> None:
    it = Applied()
    await it.apply()
    uid = it.found("Service", "reports")["metadata"]["uid"]
    it.change("Service", "reports", merge(KEPT, {"metadata": {"deletionTimestamp": "2026"}}))
    if not cached:
        it.cache.remove(it.found("Service", "reports"))
    await it.apply()
    it.now += 5
    assert it.shown() == {"ChildTerminating reports"}
    it.cluster.drop(Ref("v1", "Service", "demo", "reports"))
    await it.apply()
    assert it.found("Service", "reports")["metadata"]["uid"] != uid
    assert it.shown() == set()


async def test_orphans_that_are_not_wanted_any_more_are_removed() -> None:
    it = Applied()
    await it.apply()
    old = merge(it.found("Service", "reports"), ORPHANED)
    it.cluster.save(merge(old, {"metadata": {"name": "reports-old"}}))
    found = obsolete(it.endpoint, it.cache.children("demo/reports"), it.wanted, (), rolling=False)
    assert it.names(found) == {"reports-old"}


async def test_an_immutable_config_map_with_other_content_is_replaced() -> None:
    it = Applied()
    await it.apply()
    name = next(one["metadata"]["name"] for one in it.wanted if one["kind"] == "ConfigMap")
    wanted, uid = (
        it.found("ConfigMap", name)["data"],
        it.found("ConfigMap", name)["metadata"]["uid"],
    )
    it.change("ConfigMap", name, {"data": {"endpoint.yaml": "other"}})
    await it.apply()
    assert it.found("ConfigMap", name)["data"] == wanted
    assert it.found("ConfigMap", name)["metadata"]["uid"] != uid


@pytest.mark.parametrize("component", ["gateway", "worker"])
async def test_a_paused_rollout_is_resumed(component: str) -> None:
    it = Applied()
    await it.apply()
    it.change("Deployment", f"reports-{component}", {"spec": {"paused": True}})
    await it.apply()
    assert it.found("Deployment", f"reports-{component}")["spec"]["paused"] is False


async def test_without_a_number_the_gateways_replicas_are_an_autoscalers() -> None:
    it = Applied()
    await it.apply()
    assert it.found("Deployment", "reports-gateway")["spec"]["replicas"] == FIRST_REPLICAS
    it.change("Deployment", "reports-gateway", {"spec": {"replicas": 5}})
    applies = it.children.applies
    await it.apply()
    assert it.children.applies == applies
    it.change("Deployment", "reports-gateway", {"spec": {"paused": True}})
    await it.apply()
    assert it.children.applies == applies + 1
    assert it.found("Deployment", "reports-gateway")["spec"]["replicas"] == 5


async def test_with_a_number_the_gateways_replicas_are_put_right() -> None:
    it = Applied(replicas=1)
    await it.apply()
    it.change("Deployment", "reports-gateway", {"spec": {"replicas": 5}})
    await it.apply()
    assert it.found("Deployment", "reports-gateway")["spec"]["replicas"] == 1
