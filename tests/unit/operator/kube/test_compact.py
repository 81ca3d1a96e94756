"""What the cache keeps of a manifest."""

import json
from typing import Any

from asyncendpoints_operator.kube.cache import Cache
from asyncendpoints_operator.kube.compact import compact

OWNER = {"manager": "kubectl", "time": "2026-01-01T00:00:00Z"}
REPLICAS = {**OWNER, "fieldsV1": {"f:spec": {"f:replicas": {}, "f:routes": {"k:{}": {}}}}}
STATUS = {**OWNER, "fieldsV1": {"f:status": {"f:jobs": {}}}}


def manifest(kind: str, *fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": kind,
        "metadata": {"namespace": "demo", "name": "a", "managedFields": list(fields)},
        "spec": {"list": ["text of an item", 1, None, True, 0.5], "empty": {}},
    }


def parsed(kind: str, name: str) -> dict[str, Any]:
    """The same text, parsed again: with strings of its own."""
    found: dict[str, Any] = json.loads(json.dumps(manifest(kind)))
    found["metadata"]["name"] = name
    return found


def test_it_is_equal_but_for_managed_fields() -> None:
    before = manifest("Deployment", REPLICAS)
    kept = compact(before)
    assert kept["spec"] == before["spec"]
    assert kept["metadata"] == {"namespace": "demo", "name": "a"}
    assert before["metadata"]["managedFields"] == [REPLICAS]


def test_of_an_endpoint_the_owner_of_its_replicas_is_kept() -> None:
    kept = compact(manifest("AsyncEndpoint", STATUS, REPLICAS))
    only = {**OWNER, "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    assert kept["metadata"]["managedFields"] == [only]
    assert "managedFields" not in compact(manifest("AsyncEndpoint", STATUS))["metadata"]


def test_pods_in_the_cache_share_equal_strings() -> None:
    cache = Cache(lambda _: None)
    for name in ("a", "b"):
        cache.put(parsed("Pod", name))
    first, second = (cache.get("Pod", "demo", name) for name in ("a", "b"))
    assert first is not None
    assert second is not None
    assert first["spec"]["list"][0] is second["spec"]["list"][0]
    assert next(iter(first["spec"])) is next(iter(second["spec"]))


def test_an_object_that_was_written_has_no_managed_fields_either() -> None:
    cache = Cache(lambda _: None)
    cache.put(manifest("Service", REPLICAS))  # as the API server answers an apply
    found = cache.get("Service", "demo", "a")
    assert found is not None
    assert "managedFields" not in found["metadata"]


def test_the_copy_that_kubectl_keeps_is_dropped_and_wakes_nobody() -> None:
    woken: list[str] = []
    cache = Cache(woken.append)
    one = manifest("AsyncEndpoint")
    note = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "1"}
    one["metadata"] |= {"annotations": note, "resourceVersion": "1"}
    cache.put(one)
    kept = cache.endpoint("demo/a")
    assert kept is not None
    assert kept["metadata"]["annotations"] == {"mine": "1"}
    meta = {**one["metadata"], "resourceVersion": "2"}
    cache.put({**one, "metadata": meta, "status": {"replicas": 1}})
    assert woken == ["demo/a"]


def test_what_is_compressed_adds_nothing_to_the_table_of_shared_strings() -> None:
    spec = parsed("ConfigMap", "a")["spec"]
    text = spec["list"][0]
    assert compact({"kind": "ConfigMap", "metadata": {}, "spec": spec})["spec"]["list"][0] is text
