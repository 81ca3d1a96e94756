"""Values of the chart as they reach the operator; rendered only."""

import json
from typing import Any

import pytest
import yaml

from asyncendpoints_core.process.settings import load
from asyncendpoints_operator.main.operator import platform_of
from support.kube import install
from support.kube.provider.client import Cluster
from support.kube.provider.shell import CommandError

MONITORING = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}


def operators_environment(cluster: Cluster, **values: Any) -> dict[str, str]:
    """The operator's environment variables that have a literal value."""
    words = ("--kube-version", "1.34.4", "--values", "-", "--show-only", "templates/operator.yaml")
    given = {"redis": {"existingSecret": {"name": "redis"}}, **values}
    told = cluster.helm("template", "it", str(install.CHART), *words, stdin=json.dumps(given))
    deployment = next(one for one in yaml.safe_load_all(told) if one["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}


def test_who_may_scrape_reaches_the_policies(cluster: Cluster) -> None:
    environment = operators_environment(cluster, networkPolicy={"metricsFrom": [MONITORING]})
    assert platform_of(load({}, environment)).metrics_from == (MONITORING,)
    assert platform_of(load({}, operators_environment(cluster))).metrics_from == ()


def test_who_may_scrape_is_said_as_in_a_network_policy(cluster: Cluster) -> None:
    with pytest.raises(CommandError, match="metricsFrom"):
        operators_environment(cluster, networkPolicy={"metricsFrom": ["monitoring"]})
