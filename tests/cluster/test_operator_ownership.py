"""Ownership: conflicting names, moved queues, recreated endpoints, users' Secrets."""

import contextlib
from collections.abc import Iterator

import pytest

from support.kube.installed import SYSTEM_NAMESPACE, Endpoint, Installed
from support.kube.provider.shell import wait_until


@pytest.fixture(scope="module")
def place(installed: Installed) -> Iterator[str]:
    """A namespace for the module."""
    with installed.cluster.namespace("owner") as name:
        yield name


def applied(installed: Installed, place: str, name: str, **spec: object) -> Endpoint:
    """An endpoint that was applied, without waiting for it."""
    installed.cluster.apply(installed.resource(place, name, **spec))
    return Endpoint(installed.cluster, place, name)


def reason(endpoint: Endpoint, condition: str) -> str:
    return str(endpoint.condition(condition).get("reason", ""))


def test_an_object_of_somebody_else_is_never_taken(installed: Installed, place: str) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "taken", "namespace": place},
        "spec": {"selector": {"app": "mine"}, "ports": [{"port": 80}]},
    }
    installed.cluster.apply(service)
    endpoint = applied(installed, place, "taken")
    endpoint.until("NameConflict", lambda _: reason(endpoint, "Degraded") == "NameConflict")
    kept = installed.cluster.get("service", "taken", "--namespace", place)["spec"]["selector"]
    assert kept == {"app": "mine"}
    endpoint.delete()
    assert installed.cluster.get("service", "taken", "--namespace", place)


def test_a_namesake_adopts_the_queue(installed: Installed, place: str) -> None:
    stopped = {"suspend": True}
    with installed.endpoint(place, "reborn", **stopped) as endpoint:
        job = endpoint.submit(value="kept")
        endpoint.delete()
    with installed.endpoint(place, "reborn") as endpoint:
        assert endpoint.finished(job)["state"] == "Completed"
        wait_until("the event", lambda: "QueueAdopted" in endpoint.events(), seconds=20)


def test_a_queue_that_would_be_left_behind_holds_everything(
    installed: Installed, place: str
) -> None:
    with installed.endpoint(place, "mover", suspend=True) as endpoint:
        endpoint.submit(value="waits")
        queue = endpoint.status["queue"]
        endpoint.patch({"redis": {"url": "redis://elsewhere.example:6379/0"}})
        endpoint.until("QueueMoved", lambda _: reason(endpoint, "QueueReachable") == "QueueMoved")
        template = endpoint.cluster.get("deployment", "mover-gateway", "--namespace", place)
        assert "elsewhere" not in str(template)
        endpoint.patch({"redis": None})
        endpoint.until_ready()
        assert endpoint.status["queue"] == queue


def test_a_secret_that_may_not_be_read_is_said_so(installed: Installed, place: str) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "own-redis", "namespace": place},
        "stringData": {"url": f"redis://asyncendpoints-redis.{SYSTEM_NAMESPACE}.svc:6379/1"},
    }
    installed.cluster.apply(secret)
    endpoint = applied(installed, place, "secretive", redis={"secretRef": {"name": "own-redis"}})
    with contextlib.closing(endpoint):
        endpoint.until(
            "SecretNotReadable",
            lambda _: reason(endpoint, "QueueReachable") == "SecretNotReadable",
        )
        pods = endpoint.cluster.get("deployment", "secretive-gateway", "--namespace", place)
        volumes = pods["spec"]["template"]["spec"]["volumes"]
        assert "own-redis" in [v["secret"]["secretName"] for v in volumes if v.get("secret")]
        endpoint.delete()


def test_purge_at_once_if_configured(installed: Installed, place: str) -> None:
    with installed.endpoint(place, "fleeting", onDelete="Purge", suspend=True) as endpoint:
        endpoint.submit(value="gone")
        key = f"aep:{{{place}/fleeting}}:jobs"
        assert installed.redis("EXISTS", key) == "1"
        endpoint.delete()
        wait_until("the purge", lambda: installed.redis("EXISTS", key) == "0", seconds=15)


def test_deleting_a_namespace_is_not_blocked(installed: Installed) -> None:
    place = installed.cluster.create_namespace("doomed")
    with contextlib.closing(applied(installed, place, "reports")) as endpoint:
        endpoint.until_ready()
        installed.cluster.kubectl("delete", "namespace", place, "--timeout=120s", timeout=150)


def test_a_fight_over_a_child_is_given_up_for_a_while(installed: Installed, place: str) -> None:
    with installed.endpoint(place, "fought") as endpoint:
        theirs = '{"spec": {"selector": {"app.kubernetes.io/component": "somebody-else"}}}'
        words = ("get", "service", "fought", "-o", "jsonpath={.spec.selector}")

        def put_right() -> bool:
            return "somebody-else" not in endpoint.kubectl(*words)

        def given_up() -> bool:
            return reason(endpoint, "Degraded") == "DriftLoop"

        for _ in range(10):
            endpoint.kubectl("patch", "service", "fought", "-p", theirs)
            wait_until("an answer", lambda: put_right() or given_up(), seconds=30)
            if given_up():
                break
        assert given_up()
        assert "DriftLoop" in endpoint.events()
        wait_until("the next try", put_right, seconds=120)
