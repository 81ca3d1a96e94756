"""Values of the chart as they reach the operator; rendered only."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from asyncendpoints_core.process.settings import load
from asyncendpoints_operator.main.operator import platform_of
from support.kube import install
from support.kube.provider.client import Cluster
from support.kube.provider.shell import CommandError
from support.resources import merge

FIRST = Path(__file__).parent / "frozen" / "chart-0.1.0"
MONITORING = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}


def operators_environment(cluster: Cluster, **values: Any) -> dict[str, str]:
    """The operator's environment variables that have a literal value."""
    words = ("--kube-version", "1.34.4", "--values", "-", "--show-only", "templates/operator.yaml")
    given = {"redis": {"existingSecret": {"name": "redis"}}, **values}
    rendered = cluster.helm("template", "it", str(install.CHART), *words, stdin=json.dumps(given))
    deployment = next(one for one in yaml.safe_load_all(rendered) if one["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}


def test_who_may_scrape_reaches_the_policies(cluster: Cluster) -> None:
    environment = operators_environment(cluster, networkPolicy={"metricsFrom": [MONITORING]})
    assert platform_of(load({}, environment)).metrics_from == (MONITORING,)
    assert platform_of(load({}, operators_environment(cluster))).metrics_from == ()


def test_who_may_scrape_is_said_as_in_a_network_policy(cluster: Cluster) -> None:
    with pytest.raises(CommandError, match="metricsFrom"):
        operators_environment(cluster, networkPolicy={"metricsFrom": ["monitoring"]})


def rendered(
    cluster: Cluster, values: dict[str, Any], *, chart: Path = install.CHART, namespace: str = "one"
) -> list[dict[str, Any]]:
    """The objects of a release named asyncendpoints."""
    words = ["--kube-version", "1.34.4", "--namespace", namespace, "--values", "-"]
    rendered = cluster.helm(
        "template", "asyncendpoints", str(chart), *words, stdin=json.dumps(values)
    )
    return [one for one in yaml.safe_load_all(rendered) if one]


def pod_templates(objects: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        one["metadata"]["name"]: one["spec"]["template"]
        for one in objects
        if one["kind"] in {"Deployment", "StatefulSet"}
    }


IMAGE = {"repository": "it", "tag": "7"}
PINNED = {
    "images": {"operator": IMAGE, "gateway": IMAGE, "worker": IMAGE},
    "redis": {"development": {"existingSecret": "redis"}},
}
EVERYTHING_ELSE = {
    "crds": {"install": False},
    "rbac": {"readSecrets": True, "aggregateToDefaultRoles": False},
    "networkPolicy": {"enabled": True},
    "metrics": {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}},
    "grafana": {"dashboards": {"enabled": True}},
}


def test_a_pod_template_changes_only_with_what_it_runs(cluster: Cluster, tmp_path: Path) -> None:
    later = shutil.copytree(install.CHART, tmp_path / "chart")
    about = yaml.safe_load((later / "Chart.yaml").read_text())
    (later / "Chart.yaml").write_text(yaml.safe_dump({**about, "version": "9", "appVersion": "9"}))
    before = pod_templates(rendered(cluster, PINNED))
    after = pod_templates(rendered(cluster, {**PINNED, **EVERYTHING_ELSE}, chart=later))
    assert set(before) == {"asyncendpoints-operator", "asyncendpoints-redis"}
    assert before == after
    changed = merge(PINNED, {"redis": {"development": {"maxmemory": "100mb"}}})
    now = pod_templates(rendered(cluster, changed))
    assert {name for name in before if before[name] != now[name]} == {"asyncendpoints-redis"}


@pytest.mark.parametrize("watched", [[], ["shared"]], ids=["all", "some"])
def test_releases_of_one_name_share_no_object(cluster: Cluster, watched: list[str]) -> None:
    values = {
        **PINNED,
        "crds": {"install": False},
        "operator": {"watchNamespaces": watched},
        "rbac": {"secretNamespaces": ["shared"]},
    }
    found = [
        {
            (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"])
            for one in rendered(cluster, values, namespace=namespace)
            if one["kind"].startswith("ClusterRole")
            or one["metadata"].get("namespace", namespace) != namespace
        }
        for namespace in ("one", "two")
    ]
    assert len(found[0]) == 6
    assert not found[0] & found[1]


CLUSTER_SCOPED = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}


@pytest.mark.parametrize("later", [False, True], ids=["default", "all"])
def test_every_object_names_its_namespace(cluster: Cluster, later: bool) -> None:
    # `kubectl apply --namespace` refuses those of another one: Roles of operator.watchNamespaces.
    existing = {"redis": {"existingSecret": {"name": "redis"}}}
    found = rendered(cluster, {**EVERYTHING_ELSE, **LATER, **existing} if later else PINNED)
    unnamed = [one["kind"] for one in found if "namespace" not in one["metadata"]]
    assert set(unnamed) <= CLUSTER_SCOPED


def test_no_variable_of_the_operator_is_empty(cluster: Cluster) -> None:
    # The API server leaves out an empty value, so that each apply would change it again.
    assert all(operators_environment(cluster).values())


def test_digests_fix_the_content_of_images(cluster: Cluster) -> None:
    digest = "sha256:" + "0f" * 32
    images = {name: {"digest": digest} for name in ("operator", "gateway", "worker")}
    values = {**PINNED, "images": images}
    (container,) = pod_templates(rendered(cluster, values))["asyncendpoints-operator"]["spec"][
        "containers"
    ]
    assert container["image"] == f"asyncendpoints/operator:0.1.0@{digest}"
    named = {one["value"] for one in container["env"] if one["name"].endswith("_IMAGE")}
    assert named == {f"asyncendpoints/{name}:0.1.0@{digest}" for name in ("gateway", "worker")}


def test_a_digest_is_checked(cluster: Cluster) -> None:
    images = {"operator": {"digest": "0f" * 32}}
    with pytest.raises(CommandError, match="digest"):
        rendered(cluster, {**PINNED, "images": images})


# Every part that the first chart did not have.
SIZE = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}
LATER = {
    "console": {"enabled": True, "existingSecret": "console", "resources": SIZE},
    "webhooks": {"ports": [8443]},
    "grafana": {"dashboards": {"enabled": True}},
    "networkPolicy": {"enabled": True},
}


@pytest.mark.parametrize("later", [{}, LATER], ids=["none", "all"])
def test_values_that_an_older_chart_did_not_have_are_the_defaults(
    cluster: Cluster, tmp_path: Path, later: dict[str, Any]
) -> None:
    values = {**later, "redis": {"existingSecret": {"name": "redis"}}}
    # What `helm upgrade --reuse-values` does: the older chart's defaults instead of the newer's.
    reused = shutil.copytree(install.CHART, tmp_path / "chart")
    shutil.copy(FIRST / "values.yaml", reused)
    assert rendered(cluster, values, chart=reused) == rendered(cluster, values)


def test_names_fit_for_the_longest_name_of_a_release(cluster: Cluster) -> None:
    values = {**PINNED, "fullnameOverride": "r" * 52, "networkPolicy": {"enabled": True}}
    found = rendered(cluster, values)
    names = {one["kind"]: one["metadata"]["name"] for one in found}
    # Pods have the name, "-" and a hash of ten characters as a label of at most 63.
    assert names["StatefulSet"] == "r" * 46 + "-redis"
    assert all(
        len(one["metadata"]["name"]) <= 63 for one in found if one["kind"] in {"Service", "Pod"}
    )
