"""The operator's picture of the cluster: newer wins, lists replace, phantoms go."""

from typing import Any

import pytest

from asyncendpoints_operator.kube.cache import Cache


def endpoint(name: str = "reports", uid: str = "u1", version: int = 1, **meta: Any) -> Any:
    return {
        "kind": "AsyncEndpoint",
        "metadata": {
            "namespace": "demo",
            "name": name,
            "uid": uid,
            "resourceVersion": str(version),
            "generation": 1,
            **meta,
        },
    }


def child(kind: str, name: str, version: int = 1, component: str = "worker") -> Any:
    labels = {"asyncendpoints.io/endpoint": "reports", "app.kubernetes.io/component": component}
    return {
        "kind": kind,
        "metadata": {
            "namespace": "demo",
            "name": name,
            "uid": f"uid of {name}",
            "resourceVersion": str(version),
            "labels": labels,
        },
    }


@pytest.fixture
def woken() -> list[str]:
    return []


@pytest.fixture
def cache(woken: list[str]) -> Cache:
    return Cache(woken.append)


def test_an_endpoint_and_its_children_wake_its_key(cache: Cache, woken: list[str]) -> None:
    cache.put(endpoint())
    cache.put(child("Deployment", "reports-worker"))
    cache.put(child("Pod", "reports-worker-1"))
    cache.remove(child("Pod", "reports-worker-1"))
    assert woken == ["demo/reports"] * 4


def test_what_is_older_is_not_taken(cache: Cache, woken: list[str]) -> None:
    cache.put(child("Deployment", "reports-worker", version=7))
    cache.put(child("Deployment", "reports-worker", version=6))
    cache.put(child("Deployment", "reports-worker", version=7))
    found = cache.get("Deployment", "demo", "reports-worker")
    assert found is not None
    assert found["metadata"]["resourceVersion"] == "7"
    assert len(woken) == 1


def test_our_own_status_reconciles_nothing(cache: Cache, woken: list[str]) -> None:
    cache.put(endpoint(version=1))
    cache.put({**endpoint(version=2), "status": {"replicas": 1}})
    assert len(woken) == 1
    assert (cache.endpoint("demo/reports") or {})["status"] == {"replicas": 1}
    cache.put(endpoint(version=3, generation=2))
    assert len(woken) == 2


def test_what_was_deleted_does_not_come_back_by_a_late_answer(cache: Cache) -> None:
    cache.put(endpoint(uid="old", version=1))
    cache.remove(endpoint(uid="old", version=3))
    cache.remove(endpoint(uid="old", version=1))
    cache.put(endpoint(uid="old", version=2))
    assert cache.endpoint("demo/reports") is None
    cache.put(endpoint(uid="new", version=4))
    assert cache.endpoint("demo/reports") is not None


def test_what_lost_a_label_and_got_it_back_is_there_again(cache: Cache) -> None:
    cache.put(child("Deployment", "reports-worker", version=1))
    cache.remove(child("Deployment", "reports-worker", version=2))
    cache.put(child("Deployment", "reports-worker", version=3))
    assert cache.get("Deployment", "demo", "reports-worker")


def test_a_child_that_loses_the_label_of_its_endpoint_wakes_it(
    cache: Cache, woken: list[str]
) -> None:
    cache.put(child("Deployment", "reports-worker", version=1))
    changed = child("Deployment", "reports-worker", version=2)
    del changed["metadata"]["labels"]["asyncendpoints.io/endpoint"]
    cache.put(changed)
    assert woken == ["demo/reports"] * 2


def test_a_late_deletion_of_a_namesake_takes_nothing_away(cache: Cache) -> None:
    cache.put(endpoint(uid="new", version=5))
    cache.remove(endpoint(uid="old", version=4))
    assert (cache.endpoint("demo/reports") or {})["metadata"]["uid"] == "new"


def replace(cache: Cache, listed: list[dict[str, Any]], namespace: str | None) -> None:
    """Replace the endpoints, in one namespace or all, by those of a full list."""
    cache.keep("AsyncEndpoint", {cache.put_listed(manifest) for manifest in listed}, namespace)


def test_a_list_takes_phantoms_away(cache: Cache, woken: list[str]) -> None:
    cache.put(endpoint("phantom", uid="p"))
    cache.put(endpoint("reports", uid="r"))
    woken.clear()
    cache.begin("AsyncEndpoint")
    replace(cache, [endpoint("reports", uid="r")], None)
    assert cache.endpoints() == ["demo/reports"]
    assert woken == ["demo/phantom"]


def test_a_list_of_one_namespace_leaves_the_others(cache: Cache) -> None:
    cache.put(endpoint())
    cache.begin("AsyncEndpoint")
    replace(cache, [], "other")
    assert cache.endpoints() == ["demo/reports"]


def test_what_changed_while_a_list_was_read_stays(cache: Cache) -> None:
    cache.put(endpoint("deleted", uid="d"))
    cache.begin("AsyncEndpoint")
    cache.put(endpoint("new", uid="n", version=9))
    cache.remove(endpoint("deleted", uid="d"))
    replace(cache, [endpoint("deleted", uid="d")], None)
    assert cache.endpoints() == ["demo/new"]


def test_pods_by_component_and_children_without_pods(cache: Cache) -> None:
    cache.put(child("Pod", "w", component="worker"))
    cache.put(child("Pod", "g", component="gateway"))
    cache.put(child("Service", "reports", component="gateway"))
    assert [pod["metadata"]["name"] for pod in cache.pods("demo/reports", "worker")] == ["w"]
    assert [one["kind"] for one in cache.children("demo/reports")] == ["Service"]


def test_tombstones_do_not_grow_for_ever() -> None:
    now = [0.0]
    cache = Cache(lambda _: None, clock=lambda: now[0])
    for number in range(100):
        cache.remove(endpoint(uid=str(number)))
        now[0] += 100
    assert len(cache._deleted) <= 7
