"""What a resource may set on its pods and on all of its objects."""

from typing import Any

import pytest

from asyncendpoints_operator.desired.naming import Live
from asyncendpoints_operator.desired.objects import desired, redis_secret
from support.resources import FULL, HTTP_MODE, MINIMAL, merge
from unit.operator.desired.test_desired import PLATFORM, children, deployment, endpoint, pod

SIDECAR = {"name": "proxy", "image": "proxy:1"}


def only(pod_spec: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a container of a pod by its name."""
    every = [*pod_spec.get("initContainers", ()), *pod_spec["containers"]]
    return next(one for one in every if one["name"] == name)


@pytest.mark.parametrize("component", ["gateway", "worker"])
def test_what_is_absent_in_a_security_context_is_restricted(component: str) -> None:
    found = pod(children(FULL), component)
    assert only(found, component)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": False,
        "runAsUser": 1_001,
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
    }
    assert only(found, "fetch")["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert found["securityContext"]["runAsNonRoot"] is True
    assert found["securityContext"]["runAsUser"] == 1_000


@pytest.mark.parametrize("component", ["gateway", "worker"])
def test_containers_start_in_the_order_given_and_sidecars_are_native(component: str) -> None:
    found = pod(children(FULL), component)
    order = [(one["name"], one.get("restartPolicy")) for one in found["initContainers"]]
    assert order == [("fetch", None), ("vault", "Always"), ("sql-proxy", "Always")]
    assert [one["name"] for one in found["containers"]] == [component]
    assert only(found, "fetch")["env"] == [{"name": "EMPTY", "value": ""}]
    assert only(found, "sql-proxy")["readinessProbe"] == {"tcpSocket": {"port": 5_432}}
    # What it printed last is what a condition says of one that keeps failing.
    assert all("terminationMessagePolicy" in one for one in found["initContainers"])


def test_the_users_server_starts_after_the_sidecars() -> None:
    found = pod(children(HTTP_MODE, worker={"sidecars": [SIDECAR]}), "worker")
    assert [one["name"] for one in found["initContainers"]] == ["proxy", "target"]


def test_a_command_wraps_the_worker_and_keeps_its_arguments() -> None:
    main = only(pod(children(FULL), "worker"), "worker")
    assert main["command"] == ["ddtrace-run", "asyncendpoints", "worker"]
    assert main["args"][:2] == ["--endpoint", "/etc/asyncendpoints/endpoint.yaml"]
    assert main["args"][-2:] == ["--log-level", "debug"]


def test_in_http_mode_a_command_is_the_users_and_the_agent_has_resources() -> None:
    found = pod(children(HTTP_MODE), "worker")
    target, agent = only(found, "target"), only(found, "worker")
    assert (target["command"], target["args"]) == (["node"], ["server.js"])
    assert agent["command"] == ["asyncendpoints", "worker"]
    assert agent["resources"] == {"limits": {"cpu": "100m", "memory": "128Mi"}}
    assert target["resources"] == HTTP_MODE["spec"]["worker"]["resources"]


@pytest.mark.parametrize("document", [MINIMAL, FULL, HTTP_MODE])
def test_labels_and_annotations_of_the_spec_reach_every_object(document: dict[str, Any]) -> None:
    given = {"labels": {"team": "batch"}, "annotations": {"example.com/a": "b"}}
    resource = endpoint(document, **given)
    found = [*desired(resource, PLATFORM, Live(1)), redis_secret(resource, "redis://it")]
    templates = [one["spec"]["template"] for one in found if one["kind"] == "Deployment"]
    assert len(templates) == 2
    for one in [*found, *templates]:
        own = document["spec"]["worker"].get("labels", {}) if one in templates else {}
        assert one["metadata"]["labels"]["team"] == own.get("team", "batch")
        assert one["metadata"]["annotations"]["example.com/a"] == "b"


def test_labels_of_the_operator_take_precedence() -> None:
    found = children(MINIMAL, labels={"app.kubernetes.io/name": "mine"})
    assert all(
        one["metadata"]["labels"]["app.kubernetes.io/name"] == "asyncendpoints"
        for one in found.values()
    )


def test_labels_of_the_resource_itself_are_not_copied() -> None:
    """Argo CD tracks by a label: it would take the children for its own and delete them."""
    labeled = merge(MINIMAL, {"metadata": {"labels": {"app.kubernetes.io/instance": "argo"}}})
    assert children(labeled) == children(MINIMAL)


def test_the_disruption_budget_can_be_off() -> None:
    kinds = {kind for kind, _ in children(MINIMAL, gateway={"podDisruptionBudget": {}})}
    assert "PodDisruptionBudget" in kinds
    off = {"podDisruptionBudget": {"enabled": False}}
    assert "PodDisruptionBudget" not in {kind for kind, _ in children(MINIMAL, gateway=off)}


def test_a_grace_period_can_be_longer_than_needed() -> None:
    found = children(FULL)
    assert pod(found, "worker")["terminationGracePeriodSeconds"] == 4_000
    assert pod(found, "gateway")["terminationGracePeriodSeconds"] == 60


def test_hosts_resolver_and_scheduler_are_the_users() -> None:
    spec = deployment(children(FULL), "worker")["spec"]["template"]["spec"]
    given = FULL["spec"]["worker"]
    for field in ("hostAliases", "dnsPolicy", "dnsConfig", "schedulerName"):
        assert spec[field] == given[field]
