"""From `helm install` to a result: jobs through the Service, scaling from zero, status counts."""

import base64
import json
from collections.abc import Iterator

import pytest

from asyncendpoints_operator.main.unpin import unpin
from support.kube.installed import Endpoint, Installed
from support.kube.provider.shell import CommandError, wait_until

NAMESPACE_RESTRICTED = "jobs"


@pytest.fixture(scope="module")
def endpoint(installed: Installed) -> Iterator[Endpoint]:
    """One endpoint for the module, in a namespace that enforces the restricted standard."""
    with (
        installed.cluster.namespace(NAMESPACE_RESTRICTED) as place,
        installed.endpoint(place, "reports", reportFailures=True) as endpoint,
    ):
        yield endpoint


def test_from_zero_to_a_result(endpoint: Endpoint) -> None:
    endpoint.until_workers(0)
    answer = endpoint.request("POST", "/run", {"value": "hello"})
    assert answer.status == 202
    assert answer.headers["Location"] == f"/jobs/{answer.json['id']}"
    job = endpoint.finished(answer.json["id"])
    assert (job["state"], job["attempt"]) == ("Completed", 1)
    result = endpoint.result(job["id"])
    assert result["value"] == "hello"
    assert result["pod"].startswith("reports-worker-")
    assert {"GatewayReady", "ScaledUp"} <= set(endpoint.events())


def test_the_status_shows_what_the_store_holds(endpoint: Endpoint) -> None:
    jobs = [endpoint.submit(value=number) for number in range(5)]
    jobs.append(endpoint.submit(fail="on purpose"))
    jobs.append(endpoint.submit("/crash"))
    for job in jobs:
        endpoint.finished(job)

    def counts(status: dict[str, object]) -> bool:
        items = endpoint.all_jobs()
        states = [item["state"] for item in items]
        told = {
            "queued": states.count("Queued"),
            "scheduled": states.count("Scheduled"),
            "inProgress": states.count("InProgress"),
            "completed": states.count("Completed"),
            "failed": states.count("Failed"),
            "canceled": states.count("Canceled"),
        }
        return status.get("jobs") == told and told["failed"] == 2

    endpoint.until("counts as in the store", counts, seconds=30)


def test_the_status_names_the_last_failures(endpoint: Endpoint) -> None:
    job = endpoint.submit(fail="no such customer")
    endpoint.finished(job)
    status = endpoint.until(
        "the failure", lambda s: job in [failure["id"] for failure in s.get("recentFailures", ())]
    )
    failure = next(one for one in status["recentFailures"] if one["id"] == job)
    assert (failure["code"], failure["message"]) == ("permanent", "no such customer")


def test_columns_show_it(endpoint: Endpoint) -> None:
    header, row = endpoint.kubectl("get", "aep", "reports").splitlines()
    assert header.split() == ["NAME", "READY", "QUEUED", "RUNNING", "FAILED", "WORKERS", "AGE"]
    assert row.split()[:2] == ["reports", "True"]


def test_the_endpoint_has_a_redis_user_of_its_own(endpoint: Endpoint, installed: Installed) -> None:
    user = f"aep.{endpoint.namespace}.reports"
    own = f"aep:{{{endpoint.namespace}/reports}}"
    assert user in installed.redis("ACL", "USERS").splitlines()
    volumes = endpoint.pods("gateway")[0]["spec"]["volumes"]
    name = next(v["secret"]["secretName"] for v in volumes if v.get("secret"))
    secret = endpoint.cluster.get("secret", name, "--namespace", endpoint.namespace)
    assert secret["metadata"]["ownerReferences"][0]["name"] == "reports"
    url = base64.b64decode(secret["data"]["url"]).decode()
    password = url.partition("://")[2].partition(":")[2].rpartition("@")[0]
    as_tenant = ("--user", user, "--pass", password, "--no-auth-warning")
    assert installed.redis(*as_tenant, "HGET", f"{own}:meta", "schema") == "1"
    for forbidden in (
        ("HGET", "aep:{other/endpoint}:meta", "schema"),
        ("KEYS", "*"),
        ("SCAN", "0"),
        ("CONFIG", "GET", "*"),
        ("ACL", "LIST"),
        ("FLUSHALL",),
        ("SUBSCRIBE", "aep:{other/endpoint}:events"),
    ):
        assert "NOPERM" in installed.redis(*as_tenant, *forbidden)


def test_scale_pins_and_unpin_gives_back(endpoint: Endpoint) -> None:
    endpoint.kubectl("scale", "aep/reports", "--replicas=3")
    endpoint.until_workers(3)
    scaling = endpoint.condition("ScalingActive")
    assert (scaling["status"], scaling["reason"]) == ("False", "Pinned")
    assert "kubectl" in scaling["message"]
    assert "component=worker" in endpoint.status["selector"]
    endpoint.kubectl("scale", "aep/reports", "--replicas=0")
    endpoint.until_workers(0)
    waiting = endpoint.submit(value="later")
    assert endpoint.job(waiting, wait=2)["state"] == "Queued"
    unpin("reports", endpoint.namespace, str(endpoint.cluster.kubeconfig), None)
    assert "replicas" not in endpoint.get()["spec"]
    assert endpoint.finished(waiting)["state"] == "Completed"


def test_suspend_accepts_and_runs_none(endpoint: Endpoint) -> None:
    endpoint.patch({"suspend": True})
    endpoint.until_workers(0)
    job = endpoint.submit(value="patience")
    assert endpoint.job(job, wait=2)["state"] == "Queued"
    assert endpoint.condition("Ready")["status"] == "True"
    endpoint.patch({"suspend": None})
    assert endpoint.finished(job)["state"] == "Completed"


def test_a_child_changed_or_deleted_by_hand_is_put_right(endpoint: Endpoint) -> None:
    endpoint.kubectl("patch", "service", "reports", "-p", '{"spec": {"selector": {"app": "x"}}}')
    endpoint.kubectl("delete", "pdb", "reports-gateway")

    def right() -> bool:
        selector = endpoint.kubectl("get", "service", "reports", "-o", "jsonpath={.spec.selector}")
        budget = endpoint.kubectl("get", "pdb", "reports-gateway", "--ignore-not-found")
        return "x" not in json.loads(selector).values() and bool(budget)

    wait_until("both to be put right", right, seconds=20)


def test_deleting_the_resource_takes_children_and_then_keys(
    endpoint: Endpoint, installed: Installed
) -> None:
    key = f"aep:{{{endpoint.namespace}/reports}}:jobs"
    assert installed.redis("EXISTS", key) == "1"
    endpoint.delete()

    def childless() -> bool:
        kinds = "deployments,services,pods,pdb,serviceaccounts,secrets,replicasets"
        found = endpoint.kubectl("get", kinds, "-o", "name").split()
        return [one for one in found if "reports" in one] == []

    wait_until("the children to be collected", childless, seconds=90)
    wait_until("the keys to be purged", lambda: installed.redis("EXISTS", key) == "0", seconds=90)
    assert f"aep.{endpoint.namespace}.reports" not in installed.redis("ACL", "USERS")


def test_an_invalid_resource_is_refused(installed: Installed, namespace: str) -> None:
    wrong = installed.resource(namespace, "wrong", autoscaling={"minReplicas": 9, "maxReplicas": 2})
    with pytest.raises(CommandError, match="maxReplicas"):
        installed.cluster.apply(wrong)
