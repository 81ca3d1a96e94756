"""What administrators, backups and other controllers do to the objects of an endpoint."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from support.kube.installed import OPERATOR, SYSTEM_NAMESPACE, Endpoint, Installed
from support.kube.provider.shell import wait_until
from support.kube.watching import scale, until_ended

FINALIZER = "example.com/hold"
ONE = {"minReplicas": 1, "maxReplicas": 1}
CHILDREN = "deployment,service,configmap,secret,serviceaccount,poddisruptionbudget"


@pytest.fixture(scope="module")
def place(installed: Installed) -> Iterator[str]:
    """A namespace for the module."""
    with installed.cluster.namespace("writers") as name:
        yield name


@pytest.fixture(scope="module")
def endpoint(installed: Installed, place: str) -> Iterator[Endpoint]:
    """An endpoint with a permanent worker, for tests that leave it as it was."""
    with installed.endpoint(place, "shared", autoscaling=ONE) as endpoint:
        endpoint.until_workers(1)
        yield endpoint


def deployment(endpoint: Endpoint, component: str) -> dict[str, Any]:
    name = f"{endpoint.name}-{component}"
    return endpoint.cluster.get("deployment", name, "--namespace", endpoint.namespace)


def children(endpoint: Endpoint) -> list[dict[str, Any]]:
    selector = f"app.kubernetes.io/instance={endpoint.name}"
    where = ("-l", selector, "--namespace", endpoint.namespace)
    items: list[dict[str, Any]] = endpoint.cluster.get(CHILDREN, *where)["items"]
    return items


def condition(endpoint: Endpoint, kind: str) -> tuple[str, str]:
    found = endpoint.condition(kind)
    return found.get("reason", ""), found.get("message", "")


def test_a_paused_rollout_of_the_workers_is_resumed(endpoint: Endpoint) -> None:
    endpoint.kubectl("rollout", "pause", "deployment/shared-worker")
    wait_until(
        "the rollout to be resumed",
        lambda: not deployment(endpoint, "worker")["spec"].get("paused"),
        seconds=30,
    )


def test_an_immutable_config_map_with_other_content_is_replaced(endpoint: Endpoint) -> None:
    volumes = deployment(endpoint, "gateway")["spec"]["template"]["spec"]["volumes"]
    (name,) = (v["configMap"]["name"] for v in volumes if "configMap" in v)
    where = ("configmap", name, "--namespace", endpoint.namespace)
    before = endpoint.cluster.get(*where)
    kept = {key: before["metadata"][key] for key in ("name", "namespace", "labels")}
    other = {
        **{key: before[key] for key in ("apiVersion", "kind")},
        "metadata": {**kept, "ownerReferences": before["metadata"]["ownerReferences"]},
        "data": dict.fromkeys(before["data"], "other: true\n"),
        "immutable": True,
    }

    scale(endpoint.cluster, SYSTEM_NAMESPACE, OPERATOR, 0)
    try:
        endpoint.kubectl("delete", "configmap", name)
        endpoint.kubectl("create", "-f", "-", stdin=json.dumps(other))
    finally:
        scale(endpoint.cluster, SYSTEM_NAMESPACE, OPERATOR, 1)
    wait_until(
        "the content of the operator",
        lambda: data_of(endpoint, name) == before["data"],
        seconds=60,
    )
    endpoint.until_ready()


def data_of(endpoint: Endpoint, name: str) -> Any:
    """Return the content of a ConfigMap, None while it is not there."""
    found = endpoint.kubectl("get", "configmap", name, "--ignore-not-found", "-o", "json")
    return json.loads(found)["data"] if found else None


def test_the_number_of_gateways_belongs_to_others_unless_it_is_set(
    installed: Installed, place: str
) -> None:
    with installed.endpoint(place, "free", gateway={"replicas": None}, suspend=True) as endpoint:
        first = deployment(endpoint, "gateway")["spec"]["replicas"]
        endpoint.kubectl("scale", "deployment/free-gateway", f"--replicas={first + 1}")
        # A change that the operator has to apply, so that it has written the Deployment since.
        endpoint.patch({"annotations": {"example.com/edition": "2"}})
        wait_until(
            "the gateway to be applied",
            lambda: "example.com/edition" in json.dumps(deployment(endpoint, "gateway")),
            seconds=30,
        )
        assert deployment(endpoint, "gateway")["spec"]["replicas"] == first + 1
        endpoint.patch({"gateway": {"replicas": 1}})
        wait_until(
            "the number that is set",
            lambda: deployment(endpoint, "gateway")["spec"]["replicas"] == 1,
            seconds=30,
        )
        for _ in range(10):
            endpoint.kubectl("scale", "deployment/free-gateway", "--replicas=2")
            wait_until(
                "the number to be corrected, or left alone",
                lambda: (
                    deployment(endpoint, "gateway")["spec"]["replicas"] == 1
                    or condition(endpoint, "Degraded")[0] == "DriftLoop"
                ),
                seconds=30,
            )
            if condition(endpoint, "Degraded")[0] == "DriftLoop":
                break
        assert "kubectl" in condition(endpoint, "Degraded")[1]


def test_orphans_are_adopted_when_the_resource_is_applied_again(
    installed: Installed, place: str
) -> None:
    with installed.endpoint(place, "restored", autoscaling=ONE) as endpoint:
        job = endpoint.submit(value="before")
        endpoint.finished(job)
        endpoint.delete("--cascade=orphan")
        orphans = {child["metadata"]["uid"] for child in children(endpoint)}
        assert orphans
        installed.cluster.apply(installed.resource(place, "restored", autoscaling=ONE))
        endpoint.until_ready()
        assert endpoint.condition("Degraded")["status"] == "False"
        owner = endpoint.get()["metadata"]["uid"]
        deployments = [deployment(endpoint, one) for one in ("gateway", "worker")]
        for each in deployments:
            assert [ref["uid"] for ref in each["metadata"]["ownerReferences"]] == [owner]
            assert each["metadata"]["uid"] in orphans
        assert endpoint.finished(endpoint.submit(value="after"))["state"] == "Completed"
        assert endpoint.job(job)["state"] == "Completed"


def test_a_deletion_that_another_finalizer_holds_is_reported(
    installed: Installed, place: str
) -> None:
    with installed.endpoint(place, "held", autoscaling=ONE) as endpoint:
        add = {"metadata": {"finalizers": [*finalizers(endpoint), FINALIZER]}}
        endpoint.kubectl("patch", "aep", "held", "--type=merge", "-p", json.dumps(add))
        job = endpoint.submit(seconds=3)
        try:
            endpoint.delete("--wait=false")
            endpoint.until(
                "Terminating", lambda _: condition(endpoint, "Ready")[0] == "Terminating"
            )
            assert FINALIZER in condition(endpoint, "Ready")[1]
            assert endpoint.finished(job)["state"] == "Completed"
            refused(endpoint)
            installed.cluster.kubectl("rollout", "restart", OPERATOR, "-n", SYSTEM_NAMESPACE)
            installed.cluster.rollout(SYSTEM_NAMESPACE, OPERATOR)
            assert condition(endpoint, "Ready")[0] == "Terminating"
            refused(endpoint)
            assert endpoint.job(job)["state"] == "Completed"
        finally:
            rest = [one for one in finalizers(endpoint) if one != FINALIZER]
            drop = json.dumps({"metadata": {"finalizers": rest}})
            endpoint.kubectl("patch", "aep", "held", "--type=merge", "-p", drop)
        endpoint.kubectl("wait", "--for=delete", "aep/held", "--timeout=60s")


def finalizers(endpoint: Endpoint) -> list[str]:
    found: list[str] = endpoint.get()["metadata"].get("finalizers", [])
    return found


def refused(endpoint: Endpoint) -> None:
    """Wait until submissions are refused because the endpoint is being deleted."""

    def closed() -> bool:
        answer = endpoint.request("POST", "/run", {})
        return answer.status == 503 and "is closed" in answer.json["detail"]

    wait_until("submissions to be refused", closed, seconds=30)


def test_a_job_that_no_worker_has_a_handler_for_is_named(endpoint: Endpoint) -> None:
    routes = endpoint.get()["spec"]["routes"]
    try:
        endpoint.patch({"routes": [*routes, {"path": "/unknown", "job": "unknown"}]})
        # Once the workers with the new spec are there: before, the cause may be the rollout.
        endpoint.until(
            "HandlerMissing",
            lambda status: (
                condition(endpoint, "Degraded")[0] == "HandlerMissing"
                and condition(endpoint, "Progressing")[0] == "Settled"
            ),
        )
        assert '"unknown"' in condition(endpoint, "Degraded")[1]
        wait_until("the Event", lambda: "HandlerMissing" in endpoint.events(), seconds=20)
    finally:
        endpoint.patch({"routes": routes})
    endpoint.until("AsExpected", lambda _: condition(endpoint, "Degraded")[0] == "AsExpected")


def test_a_burst_from_zero_starts_all_workers_of_a_known_template(
    installed: Installed, place: str
) -> None:
    more = {"maxReplicas": 3, "targetWaitSeconds": 1, "idleSeconds": 1}
    with installed.endpoint(place, "burst", autoscaling=more) as endpoint:
        endpoint.finished(endpoint.submit(seconds=0.5))
        endpoint.until("readyTemplate", lambda status: bool(status.get("readyTemplate")))
        endpoint.until_workers(0)
        endpoint.patch({"suspend": True})
        jobs = [endpoint.submit(seconds=0.5) for _ in range(40)]
        # 40 jobs of 0.5 s, two at a time: the first decision already needs all workers.
        endpoint.until("the jobs", lambda status: status["jobs"]["queued"] == len(jobs))
        endpoint.patch({"suspend": None})
        seen: list[int] = []

        def scaled() -> bool:
            seen.append(deployment(endpoint, "worker")["spec"]["replicas"])
            return seen[-1] > 0

        wait_until("workers", scaled, seconds=30)
        assert seen[-1] == 3
        until_ended(endpoint, jobs)
