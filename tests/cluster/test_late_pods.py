"""Pods that never become ready: the resource says so, and why, whatever knows it."""

import contextlib
from functools import partial
from typing import Any, NamedTuple

import pytest

from support.kube.installed import Endpoint, Installed
from support.kube.provider.client import Cluster

NEVER_LISTENS = ["python", "-c", "import time; time.sleep(10**6)"]
MOUNTED = {"volumeMounts": [{"name": "keys", "mountPath": "/keys"}]}
MISSING_SECRET = {"volumes": [{"name": "keys", "secret": {"secretName": "not-there"}}], **MOUNTED}
MISSING_MAP = {"volumes": [{"name": "keys", "configMap": {"name": "not-there"}}], **MOUNTED}
TOKENS = {"tokens": {"secretRef": {"name": "not-there", "key": "tokens"}}}
NO_KEY = {"name": "wrong", "key": "not-there"}
CLAIM = {"claimName": "not-there"}
WRONG = "redis://:wrong@asyncendpoints-redis.asyncendpoints.svc:6379/0"


class Case(NamedTuple):
    """What is changed in an endpoint, and the condition that names the cause."""

    change: dict[str, Any]
    condition: str
    reason: str
    says: str


def http(*command: str) -> dict[str, Any]:
    return {"handlers": None, "http": {"port": 3000}, "command": list(command)}


def beside(*command: str) -> list[dict[str, Any]]:
    return [{"name": "first", "image": "", "command": list(command)}]


CASES = {
    "secret": Case({"worker": MISSING_SECRET}, "WorkersAvailable", "FailedMount", "not-there"),
    "map": Case({"worker": MISSING_MAP}, "WorkersAvailable", "FailedMount", "not-there"),
    "tokens": Case({"gateway": {"auth": TOKENS}}, "GatewayAvailable", "FailedMount", "not-there"),
    "exits": Case(
        {"worker": http("python", "-c", "raise SystemExit(3)")},
        "WorkersAvailable",
        "CrashLoopBackOff",
        "exit code 3",
    ),
    "silent": Case(
        {"worker": http(*NEVER_LISTENS)}, "WorkersAvailable", "NotReady", "connection refused"
    ),
    "fails": Case(
        {"worker": {"initContainers": beside("python", "-c", "raise SystemExit(4)")}},
        "WorkersAvailable",
        "CrashLoopBackOff",
        "container first terminated with Error, exit code 4",
    ),
    "key": Case(
        {"worker": {"env": [{"name": "A", "valueFrom": {"secretKeyRef": NO_KEY}}]}},
        "WorkersAvailable",
        "CreateContainerConfigError",
        "not-there",
    ),
    "claim": Case(
        {"worker": {"volumes": [{"name": "keys", "persistentVolumeClaim": CLAIM}], **MOUNTED}},
        "WorkersAvailable",
        "Unschedulable",
        'persistentvolumeclaim "not-there" not found',
    ),
    "nowhere": Case(
        {"worker": {"nodeSelector": {"example.com/zone": "none"}}},
        "WorkersAvailable",
        "Unschedulable",
        "node affinity/selector",
    ),
    "account": Case(
        {"worker": {"serviceAccountName": "not-there"}},
        "WorkersAvailable",
        "FailedCreate",
        'serviceaccount "not-there" not found',
    ),
    "endless": Case(
        {"worker": {"initContainers": beside(*NEVER_LISTENS)}},
        "WorkersAvailable",
        "NotReady",
        "init container first has not ended",
    ),
    "typo": Case(
        {"worker": {"command": ["no-such-program"]}},
        "WorkersAvailable",
        "CrashLoopBackOff",
        "no-such-program",
    ),
    "refused": Case(
        {"redis": {"secretRef": {"name": "wrong", "key": "url"}}},
        "GatewayAvailable",
        "NotReady",
        "WRONGPASS",
    ),
}


@pytest.fixture
def late(installed: Installed, namespace: str) -> Any:
    """Every case at once: they wait for the same time."""
    cluster = installed.cluster
    secret(cluster, namespace, "wrong", WRONG)
    for name, case in CASES.items():
        change = {"replicas": 1, **case.change}
        for one in change.get("worker", {}).get("initContainers", ()):
            one["image"] = installed.worker_image
        cluster.apply(installed.resource(namespace, name, **change))
    with contextlib.ExitStack() as stack:
        found = {name: Endpoint(cluster, namespace, name) for name in CASES}
        for endpoint in found.values():
            stack.callback(endpoint.delete, "--ignore-not-found", "--wait=false")
        yield found


def secret(cluster: Cluster, namespace: str, name: str, url: str) -> None:
    meta = {"name": name, "namespace": namespace}
    data = {"url": url}
    cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": data})


def test_the_cause_is_named_wherever_it_is(late: dict[str, Endpoint]) -> None:
    for name, case in CASES.items():
        status = late[name].until(f"{case.reason} is named", partial(named, case))
        found = {one["type"]: one for one in status["conditions"]}
        assert case.says in found[case.condition]["message"]
        assert found["Ready"]["status"] == "False"
        assert found["Ready"]["reason"] == case.reason
        assert found["Degraded"]["status"] == "True"
        assert case.says in found["Degraded"]["message"]


def named(case: Case, status: dict[str, Any]) -> bool:
    found = {one["type"]: one["reason"] for one in status.get("conditions", [])}
    return found.get(case.condition) == case.reason and found["Ready"] == case.reason


def test_a_rollout_that_cannot_start_says_that_the_old_pods_go_on(
    installed: Installed, namespace: str
) -> None:
    with installed.endpoint(namespace, "later") as endpoint:
        endpoint.patch({"gateway": {"auth": TOKENS}})
        endpoint.until(
            "FailedMount is the reason of Ready",
            lambda s: {c["type"]: c["reason"] for c in s["conditions"]}["Ready"] == "FailedMount",
        )
        message = endpoint.condition("Ready")["message"]
        assert message.startswith("pods of the previous spec continue: ")
        assert "not-there" in message
        assert endpoint.finished(endpoint.submit(value=1))["state"] == "Completed"
