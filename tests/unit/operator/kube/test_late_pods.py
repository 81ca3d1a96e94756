"""Why a pod is late: what containers, Events and /readyz say, in that order."""

from typing import Any

import pytest

from asyncendpoints_operator.kube.late_pods import (
    NOT_READY,
    answers_readyz,
    explain,
    unready_since,
)
from asyncendpoints_operator.kube.pod_state import CRASH_LOOP, IMAGE_PULLING, Issue
from support.resources import merge

CREATING: dict[str, Any] = {"waiting": {"reason": "ContainerCreating"}}
RUNS: dict[str, Any] = {"running": {"startedAt": "2026-01-01T00:00:05Z"}}
EXITED: dict[str, Any] = {"terminated": {"reason": "Error", "exitCode": 3}}
CREATED = 1_767_225_600.0  # 2026-01-01T00:00:00Z


def container(name: str, state: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "state": state, "ready": False, "restartCount": 0, **more}


def pod(
    main: dict[str, Any], *beside: dict[str, Any], metadata: Any = None, **status: Any
) -> dict[str, Any]:
    document = {
        "metadata": {"name": "it", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"nodeName": "node"},
        "status": {
            "phase": "Pending",
            "containerStatuses": [main],
            "initContainerStatuses": list(beside),
            **status,
        },
    }
    return merge(document, {"metadata": metadata or {}})


def event(
    reason: str, message: str, second: int, kind: str = "Warning", path: str = ""
) -> dict[str, Any]:
    at = f"2026-01-01T00:00:{second:02}Z"
    return {
        "metadata": {},
        "involvedObject": {"fieldPath": path},
        "type": kind,
        "reason": reason,
        "message": message,
        "lastTimestamp": at,
    }


MOUNT = event("FailedMount", 'secret "keys" not found', 4)
PULLING = event("Pulling", 'Pulling image "big"', 6, "Normal")
PROBE = event("Unhealthy", "Startup probe failed: connection refused", 8)
GATED = {
    "type": "Ready",
    "status": "False",
    "reason": "ReadinessGatesNotReady",
    "message": 'the status of pod readiness gate "example.com/target-health" is not "True"',
}
INIT = [{"name": "target", "restartPolicy": "Always"}, {"name": "first"}]
WORKER = container("worker", CREATING)


@pytest.mark.parametrize(
    ("late", "events", "readyz", "issue"),
    [
        (pod(WORKER), [MOUNT], "", Issue("FailedMount", 'secret "keys" not found')),
        (pod(WORKER), [MOUNT, PULLING], "", Issue(IMAGE_PULLING, 'Pulling image "big"')),
        (
            pod(WORKER),
            [event("FailedScheduling", "0/1 nodes are available", 3)],
            "",
            Issue("ContainerCreating", "container worker is being created"),
        ),
        (
            pod(container("worker", RUNS, ready=True), conditions=[GATED]),
            [PULLING],
            "",
            Issue("ReadinessGatesNotReady", GATED["message"]),
        ),
        (pod(WORKER), [], "", Issue("ContainerCreating", "container worker is being created")),
        (
            pod(WORKER, container("target", EXITED)),
            [PULLING],
            "",
            Issue(CRASH_LOOP, "container target terminated with Error, exit code 3, 0 restarts"),
        ),
        (
            pod(WORKER, container("target", RUNS, lastState=EXITED, restartCount=1)),
            [PROBE],
            "",
            Issue(CRASH_LOOP, "container target terminated with Error, exit code 3, 1 restarts"),
        ),
        (
            pod(WORKER, container("target", RUNS)),
            [MOUNT, PROBE],
            "",
            Issue(NOT_READY, "container target: Startup probe failed: connection refused"),
        ),
        (  # the newest Event is about another container
            pod(container("worker", RUNS, ready=True), container("side", RUNS)),
            [
                event("Unhealthy", "Readiness probe failed: ", 5, path="spec.initContainers{side}"),
                event("Unhealthy", "Startup probe failed: 503", 8, path="spec.containers{worker}"),
            ],
            "",
            Issue(NOT_READY, "container side: Readiness probe failed"),
        ),
        (
            pod(WORKER, container("side", CREATING)),
            [event("Pulling", "Pulling big", 6, "Normal", path="spec.containers{worker}"), MOUNT],
            "",
            Issue("FailedMount", 'secret "keys" not found'),
        ),
        (
            merge(pod(WORKER, container("first", RUNS)), {"spec": {"initContainers": INIT}}),
            [],
            "",
            Issue(NOT_READY, "init container first has not ended"),
        ),
        (
            pod(container("gateway", RUNS)),
            [PROBE],
            "not ready: reports: WRONGPASS",
            Issue(NOT_READY, "container gateway: not ready: reports: WRONGPASS"),
        ),
        (
            pod(container("worker", RUNS)),
            [],
            "",
            Issue(NOT_READY, "container worker: it is not ready"),
        ),
        (
            pod(container("worker", RUNS, ready=True)),
            [event("not a reason", "odd", 1)],
            "",
            Issue(NOT_READY, "odd"),
        ),
    ],
)
def test_the_cause(
    late: dict[str, Any], events: list[dict[str, Any]], readyz: str, issue: Issue
) -> None:
    assert explain(late, events, readyz) == issue


def test_only_a_running_container_of_the_operator_is_asked() -> None:
    assert answers_readyz(pod(container("gateway", RUNS)))
    assert answers_readyz(pod(container("worker", RUNS), container("first", EXITED, ready=True)))
    assert not answers_readyz(pod(WORKER))
    assert not answers_readyz(pod(WORKER, container("target", RUNS)))


def test_since_when_a_pod_is_not_ready() -> None:
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:01:00Z"}
    assert unready_since(pod(WORKER)) == CREATED
    assert unready_since(pod(WORKER, conditions=[ready])) is None
    lost = {**ready, "status": "False"}
    assert unready_since(pod(WORKER, conditions=[lost])) == CREATED + 60
    assert (
        unready_since(pod(WORKER, metadata={"deletionTimestamp": "2026-01-01T00:00:01Z"})) is None
    )
    assert unready_since(pod(WORKER, phase="Failed")) is None
