"""From the leader's records and the cache to what the status is computed from."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from asyncendpoints_core.store.replies import WorkerInfo, WorkerState
from asyncendpoints_operator.control.endpoint_state import Reconciled, WorkState
from asyncendpoints_operator.control.pod_causes import PodCauses
from asyncendpoints_operator.control.reconcile import parse
from asyncendpoints_operator.control.status_report import observe
from asyncendpoints_operator.desired.naming import (
    TEMPLATE_ANNOTATION,
    WORKER,
    child_name,
)
from asyncendpoints_operator.kube.cache import ENDPOINT_LABEL, Cache
from asyncendpoints_operator.kube.client import Cluster
from asyncendpoints_operator.kube.pod_state import CRASH_LOOP
from asyncendpoints_operator.queues.queue_connection import QueueConnection, Reading
from asyncendpoints_operator.status.observed import Queue, QueueReason
from support.resources import resource

MANIFEST = resource()
MANIFEST["metadata"] |= {"uid": "uid", "generation": 2}
RESOURCE = parse("demo/reports", MANIFEST)


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


def test_a_crashing_sidecar_is_not_well_for_the_moment_after_its_start() -> None:
    assert RESOURCE.endpoint
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    last = {"reason": "Error", "exitCode": 3, "startedAt": now, "finishedAt": now}
    side = {
        "name": "side",
        "state": {"running": {"startedAt": now}},
        "lastState": {"terminated": last},
        "restartCount": 4,
        "ready": True,
    }
    ready = [{"type": "Ready", "status": "True"}]
    status = {"phase": "Running", "initContainerStatuses": [side], "conditions": ready}
    cache = Cache(lambda *_: None)
    template = {"metadata": {"annotations": {TEMPLATE_ANNOTATION: "new"}}}
    name = child_name(RESOURCE.endpoint, WORKER)
    counts = {"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}
    cache.put(child("Deployment", name, "", spec={"template": template}, status=counts))
    cache.put(child("Pod", "new", "new", status=status))
    state = Reconciled(RESOURCE)
    seen = observe(cache, MANIFEST, state, WorkState(), state.queue, {})
    assert (seen.worker.replicas, seen.worker.ready, seen.ready_template) == (1, 0, "")
    assert seen.worker_issue
    assert seen.worker_issue.reason == CRASH_LOOP
    causes = PodCauses(cast("Cluster", None), cache)
    assert asyncio.run(causes.look(RESOURCE.key))  # reported as ready then
