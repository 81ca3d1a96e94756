"""The CRD on a real API server: accepted, explained, validated with messages, scalable."""

import contextlib
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from asyncendpoints_core.resource import AsyncEndpoint
from support.crd_bounds import edges
from support.kube.provider.client import Cluster
from support.kube.provider.shell import CommandError, wait_until
from support.paths import ROOT
from support.resources import FULL, HTTP_MODE, INVALID, MINIMAL, Invalid, merge, resource

CRD = ROOT / "crds" / "asyncendpoints.asyncendpoints.io.yaml"
NAME = "asyncendpoints.asyncendpoints.io"
# No operator handles this class, so these tests see the API server alone.
NOBODYS = {"spec": {"className": "nobody"}}


@pytest.fixture(scope="module")
def crd(cluster: Cluster) -> Iterator[None]:
    """The installed CRD; removed again unless it was there before (with an installed chart)."""
    before = cluster.kubectl("get", "crd", NAME, "--ignore-not-found", "-o", "name")
    if not before:
        cluster.kubectl("create", "-f", str(CRD))
    # A CRD is established when it is explained; `kubectl wait` fails on one without a status yet.
    wait_until("kubectl explain to know the resource", lambda: explains(cluster), seconds=60)
    yield
    if not before:
        cluster.kubectl("delete", "crd", NAME)


def explains(cluster: Cluster) -> bool:
    with contextlib.suppress(CommandError):
        return bool(cluster.kubectl("explain", "aep.spec"))
    return False


@pytest.fixture(scope="module")
def place(cluster: Cluster, crd: None) -> Iterator[str]:
    """A namespace for the module."""
    with cluster.namespace("crd") as name:
        yield name


def here(place: str, document: dict[str, Any], name: str = "") -> dict[str, Any]:
    metadata = {"namespace": place, **({"name": name} if name else {})}
    return merge(document, {**NOBODYS, "metadata": metadata})


def dry_run(cluster: Cluster, document: dict[str, Any]) -> str:
    return cluster.kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(document))


@pytest.mark.parametrize("case", INVALID, ids=lambda case: case.name)
def test_an_invalid_resource_is_refused_with_a_message(
    cluster: Cluster, place: str, case: Invalid
) -> None:
    document = merge(here(place, MINIMAL), case.change)
    with pytest.raises(CommandError) as refusal:
        dry_run(cluster, document)
    assert case.says in str(refusal.value)


# Texts that the model parses, beyond what CEL's cost budget allows.
PARSED = {"spec.schedules[].cron", "spec.schedules[].timeZone", "spec.webhookRequests.allow[]"}


def test_the_bounds_of_every_field_are_the_models(cluster: Cluster, place: str) -> None:
    found = edges()
    items = [
        merge(edge.document, {"metadata": {"namespace": place, "name": f"edge-{n}"}})
        for n, edge in enumerate(found)
    ]
    with ThreadPoolExecutor() as threads:
        parts = threads.map(lambda part: created(cluster, part), (items[n::4] for n in range(4)))
        accepted = set().union(*parts)
    different = [
        str(edge)
        for n, edge in enumerate(found)
        if (f"edge-{n}" in accepted) != edge.accepted and edge.path not in PARSED
    ]
    assert different == []
    assert len(accepted) > 300


def created(cluster: Cluster, items: list[dict[str, Any]]) -> set[str]:
    """The names of the resources that the API server would create."""
    words = ("create", "--dry-run=server", "--validate=false", "-f", "-")
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    with pytest.raises(CommandError) as refusal:
        cluster.kubectl(*words, stdin=text)
    return set(re.findall(r"^asyncendpoint\S*/(\S+) created", refusal.value.output, re.MULTILINE))


def test_the_smallest_resource_gets_its_defaults(cluster: Cluster, place: str) -> None:
    cluster.apply(here(place, MINIMAL, "smallest"))
    spec = cluster.get("aep", "smallest", "--namespace", place)["spec"]
    assert "replicas" not in spec["gateway"]  # an autoscaler may own it
    assert spec["retry"]["maxRetries"] == 3
    assert spec["routes"] == MINIMAL["spec"]["routes"]  # the operator fills in what lists leave out
    assert spec["worker"]["rollout"] == {"maxSurge": "25%", "maxUnavailable": 0}
    assert "replicas" not in spec


DOCUMENTS = pytest.mark.parametrize(
    "document", [MINIMAL, FULL, HTTP_MODE], ids=["minimal", "full", "http"]
)


@DOCUMENTS
def test_an_apply_without_a_change_changes_nothing(
    cluster: Cluster, place: str, document: dict[str, Any]
) -> None:
    text = json.dumps(here(place, document, f"twice-{document['metadata']['name']}"))
    cluster.kubectl("apply", "-f", "-", stdin=text)
    assert cluster.kubectl("apply", "-f", "-", stdin=text).strip().endswith(" unchanged")


@DOCUMENTS
def test_the_model_reads_what_the_api_server_gives_back(
    cluster: Cluster, place: str, document: dict[str, Any]
) -> None:
    cluster.apply(here(place, document))
    name = document["metadata"]["name"]
    read = AsyncEndpoint.parse(cluster.get("aep", name, "--namespace", place))
    written = AsyncEndpoint.parse(here(place, document))
    assert read.spec == written.spec
    assert read.metadata.uid
    assert read.metadata.generation == 1


def test_a_schema_of_a_route_is_kept_as_it_is(cluster: Cluster, place: str) -> None:
    schema = {"type": "object", "properties": {"n": {"enum": [None, 1], "x-mine": [1, {"a": 2}]}}}
    routes = [{"path": "/a", "job": "build-report", "schema": schema}]
    cluster.apply(here(place, resource(routes=routes), "schema"))
    spec = cluster.get("aep", "schema", "--namespace", place)["spec"]
    assert spec["routes"][0]["schema"] == schema


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("aep.spec.retry", "maxRetries"),
        ("aep.spec.retry.jitter", "retried together"),
        ("aep.spec.routes.path", "Literals take precedence"),
        ("aep.spec.worker.http", "Port that the container listens on"),
        ("aep.status.conditions", "Ready, Progressing"),
    ],
)
def test_explain_teaches(cluster: Cluster, place: str, field: str, says: str) -> None:
    assert says in " ".join(cluster.kubectl("explain", field).split())


def test_columns(cluster: Cluster, place: str) -> None:
    cluster.apply(here(place, MINIMAL, "columns"))
    status = {
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "AsExpected",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ],
        "jobs": {"queued": 7, "inProgress": 2, "failed": 1},
        "readyReplicas": 3,
        "url": "http://columns.demo",
    }
    where = ["--namespace", place]
    patch = json.dumps({"status": status})
    cluster.kubectl(
        "patch", "aep", "columns", "--subresource=status", "--type=merge", "-p", patch, *where
    )
    header, row = cluster.kubectl("get", "aep", "columns", *where).splitlines()
    assert header.split() == ["NAME", "READY", "QUEUED", "RUNNING", "FAILED", "WORKERS", "AGE"]
    assert row.split()[:6] == ["columns", "True", "7", "2", "1", "3"]
    wide = cluster.kubectl("get", "async", "columns", "-o", "wide", *where).splitlines()
    assert {"SCHEDULED", "COMPLETED", "OLDEST", "URL"} <= set(wide[0].split())
    assert "http://columns.demo" in wide[1]


def test_scale_pins_and_a_patch_unpins(cluster: Cluster, place: str) -> None:
    cluster.apply(here(place, MINIMAL, "scaled"))
    where = ["--namespace", place]
    cluster.kubectl("scale", "aep/scaled", "--replicas=3", *where)
    assert cluster.get("aep", "scaled", *where)["spec"]["replicas"] == 3
    remove = '[{"op": "remove", "path": "/spec/replicas"}]'
    cluster.kubectl("patch", "aep", "scaled", "--type=json", "-p", remove, *where)
    assert "replicas" not in cluster.get("aep", "scaled", *where)["spec"]


def test_routes_of_two_owners_are_merged_by_path(cluster: Cluster, place: str) -> None:
    cluster.apply(here(place, MINIMAL, "shared"))
    more = {
        "apiVersion": MINIMAL["apiVersion"],
        "kind": MINIMAL["kind"],
        "metadata": {"name": "shared", "namespace": place},
        "spec": {"routes": [{"path": "/more", "job": "more"}]},
    }
    command = ["apply", "--server-side", "--field-manager=other", "-f", "-"]
    cluster.kubectl(*command, stdin=json.dumps(more))
    spec = cluster.get("aep", "shared", "--namespace", place)["spec"]
    assert {route["path"] for route in spec["routes"]} == {"/reports/{customer}", "/more"}
