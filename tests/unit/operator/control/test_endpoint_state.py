"""What the leader reads from a resource, and with how many workers a Deployment begins."""

from typing import Any

import pytest

from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.scaling.decide import Decision, Memory, Reason
from asyncendpoints_operator.control.endpoint_state import Reconciled, Resource
from asyncendpoints_operator.control.reconcile import first_replicas, parse
from asyncendpoints_operator.status.observed import Queue, QueueReason
from support.resources import MINIMAL, merge


def manifest(**spec: Any) -> dict[str, Any]:
    return merge(MINIMAL, {"metadata": {"uid": "uid-1", "generation": 3}, "spec": spec})


def endpoint(**spec: Any) -> AsyncEndpoint:
    return AsyncEndpoint.parse(manifest(**spec))


def test_a_valid_resource_is_parsed() -> None:
    found = parse("demo/reports", manifest())
    assert (found.key, found.uid, found.generation) == ("demo/reports", "uid-1", 3)
    assert found.endpoint is not None
    assert found.endpoint.key == "demo/reports"
    assert found.faults == ()


def test_a_resource_that_breaks_a_rule_has_faults_and_no_endpoint() -> None:
    found = parse("demo/reports", manifest(routes=[{"path": "no-slash", "job": "x"}]))
    assert found.endpoint is None
    assert found.faults[0].startswith("spec.routes[0].path: ")
    assert found.generation == 3


def test_no_more_than_five_faults_are_named() -> None:
    routes = [{"path": f"no-slash-{number}", "job": "x"} for number in range(9)]
    assert len(parse("demo/reports", manifest(routes=routes)).faults) == 5


def test_a_rule_of_clusters_alone_is_a_fault_too() -> None:
    worker = {"image": None, "handlers": "reports.jobs"}
    found = parse("demo/reports", manifest(worker=worker))
    assert found.endpoint is None
    assert found.faults[0].startswith("spec.worker: image is required in a cluster")


def test_without_a_connection_the_queue_is_why_there_is_none() -> None:
    queue = Queue(QueueReason.SECRET_MISSING, "Secret redis does not exist")
    assert Reconciled(Resource("demo/reports", "uid-1", 1), unconnected=queue).queue is queue


@pytest.mark.parametrize(
    ("spec", "decided", "replicas"),
    [
        ({}, None, 0),
        ({"autoscaling": {"minReplicas": 2}}, None, 2),
        ({"autoscaling": {"minReplicas": 2}}, 5, 5),  # made again after it was deleted by hand
        ({"replicas": 3}, 5, 3),
        ({"replicas": 3, "suspend": True}, 5, 0),
    ],
)
def test_first_replicas(spec: dict[str, Any], decided: int | None, replicas: int) -> None:
    decision = None
    if decided is not None:
        decision = Decision(decided, decided, Reason.STEADY, "", Memory())
    assert first_replicas(endpoint(**spec), decision) == replicas
