"""Terminating pods whose worker has drained and whose sidecars still run."""

from typing import Any

import pytest

from asyncendpoints_operator.control.drained_pods import SIDECAR_SECONDS, DrainedPods
from asyncendpoints_operator.control.failures import Failures
from asyncendpoints_operator.kube.cache import Cache
from support.kube.fake_cluster import FakeCluster
from support.resources import merge


def pod(**change: Any) -> dict[str, Any]:
    labels = {"asyncendpoints.io/endpoint": "reports", "app.kubernetes.io/component": "worker"}
    document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "it",
            "namespace": "demo",
            "uid": "u",
            "labels": labels,
            "deletionTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"initContainers": [{"name": "proxy"}]},
    }
    return merge(document, change)


@pytest.mark.parametrize(
    ("manifest", "registered", "stays"),
    [
        (pod(), False, False),
        (pod(), True, True),
        (pod(spec={"initContainers": None}), False, True),
        (pod(metadata={"deletionTimestamp": None}), False, True),
    ],
    ids=["drained", "draining", "without sidecars", "not deleted"],
)
async def test_a_pod_is_removed_whose_sidecars_outlive_its_worker(
    manifest: dict[str, Any], registered: bool, stays: bool
) -> None:
    cluster, cache = FakeCluster(), Cache(lambda _: None)
    moment, checks = [0.0], list[float]()
    cluster.put, cluster.remove = cache.put, cache.remove
    saved = cluster.save(manifest)
    cluster.guard = lambda: checks.append(moment[0])
    drained = DrainedPods(cluster, cache, Failures(), lambda: moment[0])
    workers = {saved["metadata"]["uid"]} if registered else {"another"}
    for moment[0] in (0.0, SIDECAR_SECONDS - 1, SIDECAR_SECONDS, SIDECAR_SECONDS + 1):
        await drained.end("demo/reports", "e", workers)
    assert (cluster.find("Pod", "it") is not None) is stays
    assert checks == ([] if stays else [SIDECAR_SECONDS])
