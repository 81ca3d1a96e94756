"""What the API server refuses the operator: webhooks that are down, policies, quotas."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from support.kube.installed import OPERATOR, SYSTEM_NAMESPACE, Endpoint, Installed
from support.kube.provider.client import Cluster
from support.kube.provider.shell import CommandError, wait_until


@pytest.fixture(scope="module")
def place(installed: Installed) -> Iterator[str]:
    """A namespace for the module."""
    with installed.cluster.namespace("refused") as name:
        yield name


def rule(group: str, resource: str, *operations: str) -> dict[str, Any]:
    return {
        "apiGroups": [group],
        "apiVersions": ["*"],
        "resources": [resource],
        "operations": list(operations),
    }


def in_namespace(place: str) -> dict[str, Any]:
    return {"matchLabels": {"kubernetes.io/metadata.name": place}}


@contextmanager
def webhook_down(cluster: Cluster, place: str, rules: list[dict[str, Any]]) -> Iterator[None]:
    """A validating webhook in front of a namespace whose server does not exist."""
    service = {"name": "nobody", "namespace": place, "path": "/"}
    webhook = {
        "name": "policy.example.com",
        "namespaceSelector": in_namespace(place),
        "rules": rules,
        "clientConfig": {"service": service},
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "timeoutSeconds": 2,
    }
    kind = "ValidatingWebhookConfiguration"
    meta = {"name": place}
    api = "admissionregistration.k8s.io/v1"
    cluster.apply({"apiVersion": api, "kind": kind, "metadata": meta, "webhooks": [webhook]})
    try:
        yield
    finally:
        cluster.kubectl("delete", kind, place)


@contextmanager
def policy(
    cluster: Cluster, place: str, rules: list[dict[str, Any]], expression: str, message: str
) -> Iterator[None]:
    """A ValidatingAdmissionPolicy for a namespace."""
    api, kind = "admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": rules},
        "validations": [{"expression": expression, "message": message}],
    }
    cluster.apply({"apiVersion": api, "kind": kind, "metadata": {"name": place}, "spec": spec})
    bound = {
        "policyName": place,
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": in_namespace(place)},
    }
    meta = {"name": place}
    cluster.apply({"apiVersion": api, "kind": f"{kind}Binding", "metadata": meta, "spec": bound})
    try:
        yield
    finally:
        cluster.kubectl("delete", f"{kind}Binding", place)
        cluster.kubectl("delete", kind, place)


def until_reason(
    endpoint: Endpoint, condition: str, reason: str, seconds: float = 30
) -> dict[str, Any]:
    """Wait until a condition has a reason, and return it."""
    endpoint.until(
        f"{condition} {reason}",
        lambda _: endpoint.condition(condition).get("reason") == reason,
        seconds=seconds,
    )
    return endpoint.condition(condition)


def test_a_webhook_that_is_down_is_named_and_recovered_from(
    installed: Installed, place: str
) -> None:
    cluster = installed.cluster
    rules = [rule("", "services", "CREATE", "UPDATE")]
    with webhook_down(cluster, place, rules):
        cluster.apply(installed.resource(place, "hooked"))
        endpoint = Endpoint(cluster, place, "hooked")
        text = until_reason(endpoint, "Degraded", "ApplyRefused")["message"]
        assert "Service hooked" in text
        assert 'failed calling webhook "policy.example.com"' in text
        assert endpoint.condition("Ready")["status"] == "False"
        assert endpoint.condition("Progressing")["reason"] != "Settled"
        cluster.get("deployment", "hooked-worker", "--namespace", place)
    endpoint.until_ready(seconds=30)
    assert endpoint.condition("Degraded")["reason"] == "AsExpected"
    assert endpoint.events().count("ApplyRefused") == 1
    log = cluster.kubectl("logs", "--namespace", SYSTEM_NAMESPACE, OPERATOR)
    lines = [line for line in log.splitlines() if "failed calling webhook" in line]
    assert len(lines) <= 3  # the failure, its Event, and no line for each retry
    endpoint.close()
    endpoint.delete("--wait=false")


def test_a_policy_on_replicas_is_named_and_the_rest_is_scaled(
    installed: Installed, place: str
) -> None:
    rules = [rule("apps", "deployments", "UPDATE"), rule("apps", "deployments/scale", "UPDATE")]
    few = "!object.metadata.name.endsWith('-worker') || object.spec.replicas <= 2"
    scaling = {"minReplicas": 4, "maxReplicas": 4}
    with installed.endpoint(place, "capped") as endpoint:
        with policy(installed.cluster, place, rules, few, "two workers are enough"):
            in_force(endpoint)
            endpoint.patch({"autoscaling": scaling})
            text = until_reason(endpoint, "ScalingActive", "ScalingRefused")["message"]
            assert "two workers are enough" in text
            assert endpoint.condition("Degraded")["reason"] == "ScalingRefused"
            endpoint.until_workers(2)
        endpoint.until_workers(4, seconds=60)
        until_reason(endpoint, "Degraded", "AsExpected")


def in_force(endpoint: Endpoint) -> None:
    """Wait until the API server applies the policy, which it does some time after its creation."""
    patch = json.dumps({"spec": {"replicas": 3}})
    words = ("patch", "deployment", f"{endpoint.name}-worker", "-p", patch, "--dry-run=server")

    def refused() -> bool:
        try:
            endpoint.kubectl(*words)
        except CommandError as error:
            return "two workers" in error.output
        return False

    wait_until("the policy", refused, seconds=30)


SECRETLESS = ("secretless-worker", "--ignore-not-found", "-o", "name")


def test_a_quota_on_secrets_is_named(installed: Installed, place: str) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none", "namespace": place},
        "spec": {"hard": {"count/secrets": "0"}},
    }
    installed.cluster.apply(quota)
    wait_until(
        "the quota",
        lambda: "status" in installed.cluster.get("quota", "none", "--namespace", place),
        seconds=20,
    )
    installed.cluster.apply(installed.resource(place, "secretless"))
    endpoint = Endpoint(installed.cluster, place, "secretless")
    text = until_reason(endpoint, "Degraded", "ApplyRefused")["message"]
    assert "exceeded quota: none" in text
    wait_until(
        "the other children",
        lambda: bool(endpoint.kubectl("get", "deployment", *SECRETLESS)),
        seconds=30,
    )
    endpoint.kubectl("delete", "quota", "none")
    endpoint.until_ready(seconds=60)
    endpoint.delete("--wait=false")
