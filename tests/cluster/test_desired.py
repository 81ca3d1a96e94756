"""The children of an endpoint in a dry run on a real API server (nothing is started)."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.kube.provider.client import Cluster
from support.paths import GOLDEN
from support.resources import merge

MANIFESTS = sorted(GOLDEN.glob("*.yaml"))


def golden(path: Path, namespace: str) -> list[dict[str, Any]]:
    """The manifests of a golden file, moved to a namespace; the Gateway API is not installed."""
    where = {"metadata": {"namespace": namespace}}
    documents = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    return [merge(one, where) for one in documents if one["kind"] != "HTTPRoute"]


def dry_run(cluster: Cluster, objects: list[dict[str, Any]]) -> str:
    bundle = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    options = ["--server-side", "--dry-run=server", "--validate=strict", "-f", "-"]
    return cluster.kubectl("apply", *options, stdin=bundle)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_the_api_server_takes_every_child(cluster: Cluster, namespace: str, path: Path) -> None:
    objects = golden(path, namespace)
    assert len(dry_run(cluster, objects).splitlines()) == len(objects)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_the_pods_pass_the_restricted_standard(
    cluster: Cluster, namespace: str, path: Path
) -> None:
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": one["metadata"]["name"], "namespace": namespace},
            # Without accounts and classes that a dry run does not create.
            "spec": {
                key: value
                for key, value in one["spec"]["template"]["spec"].items()
                if key not in {"serviceAccountName", "runtimeClassName", "priorityClassName"}
            },
        }
        for one in golden(path, namespace)
        if one["kind"] == "Deployment"
    ]
    assert len(dry_run(cluster, pods).splitlines()) == 2
