"""From the leader's records and the cache to what the status is computed from."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from asyncendpoints_core.store.replies import WorkerInfo, WorkerState
from asyncendpoints_operator.control.endpoint_state import Reconciled, Resource, WorkState
from asyncendpoints_operator.control.status_report import observe
from asyncendpoints_operator.desired.naming import (
    TEMPLATE_ANNOTATION,
    WORKER,
    child_name,
)
from asyncendpoints_operator.kube.cache import ENDPOINT_LABEL, Cache
from asyncendpoints_operator.queues.queue_connection import QueueConnection, Reading
from asyncendpoints_operator.status.observed import Queue, QueueReason
from support.resources import resource

MANIFEST = resource()
MANIFEST["metadata"] |= {"uid": "uid", "generation": 2}
RESOURCE = Resource.parse("demo/reports", MANIFEST)


def child(kind: str, name: str, template: str, **more: Any) -> dict[str, Any]:
    assert RESOURCE.endpoint
    labels = {
        ENDPOINT_LABEL: RESOURCE.endpoint.name,
        "app.kubernetes.io/component": WORKER,
    }
    metadata = {
        "namespace": RESOURCE.endpoint.metadata.namespace,
        "name": name,
        "uid": f"uid-{name}",
        "resourceVersion": "1",
        "labels": labels,
        "annotations": {TEMPLATE_ANNOTATION: template},
    }
    return {"kind": kind, "metadata": metadata, **more}


def without_handler(*workers: tuple[str, str], reconciled: int = 2) -> tuple[str, ...]:
    """Return the jobs without a handler; each worker is its pod and the job it handles."""
    assert RESOURCE.endpoint
    cache = Cache(lambda *_: None)
    template = {"metadata": {"annotations": {TEMPLATE_ANNOTATION: "new"}}}
    name = child_name(RESOURCE.endpoint, WORKER)
    cache.put(child("Deployment", name, "", spec={"template": template}))
    for pod in ("new", "old"):
        cache.put(child("Pod", pod, pod))
    states = tuple(
        WorkerState(WorkerInfo(pod, f"uid-{pod}", "n", 1, (job,)), 0, 0) for pod, job in workers
    )
    reading = Reading(Queue(QueueReason.REACHABLE), states)
    connection = cast("QueueConnection", SimpleNamespace(reading=reading))
    state = replace(Reconciled(RESOURCE), generation=reconciled, connection=connection)
    return observe(cache, MANIFEST, state, WorkState(), state.queue, {}).without_handler


def test_handlers_are_those_of_the_present_template() -> None:
    assert RESOURCE.endpoint
    [job] = {route.job for route in RESOURCE.endpoint.spec.routes}
    assert without_handler(("new", "other")) == (job,)
    assert without_handler(("old", "other")) == ()
    assert without_handler(("old", job), ("new", "other")) == (job,)


def test_a_spec_that_is_not_applied_yet_is_not_held_against_workers() -> None:
    assert without_handler(("new", "other"), reconciled=1) == ()
