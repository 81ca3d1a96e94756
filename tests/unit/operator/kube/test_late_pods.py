"""Why a pod is late: what containers, Events and /readyz say, in that order."""

from dataclasses import replace
from typing import Any

import pytest

from asyncendpoints_operator.kube.late_pods import (
    ENDED_SECONDS,
    NOT_READY,
    PATIENCE_SECONDS,
    answers_readyz,
    crashing_until,
    explain,
    read_steady,
    unready_since,
    without_crashing,
)
from asyncendpoints_operator.kube.pod_state import (
    CRASH_LOOP,
    IMAGE_PULLING,
    Deployment,
    Issue,
    issue_of,
    read_pod,
)
from support.resources import merge

CREATING: dict[str, Any] = {"waiting": {"reason": "ContainerCreating"}}
RUNS: dict[str, Any] = {"running": {"startedAt": "2026-01-01T00:00:05Z"}}
EXITED: dict[str, Any] = {"terminated": {"reason": "Error", "exitCode": 3}}
RECENT = "2026-01-01T00:00:30Z"
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
READY = {"type": "Ready", "status": "True"}
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


def restarted(started: int, last: tuple[str, str], count: int = 3) -> dict[str, Any]:
    """Return a pod whose sidecar is ready again since a second of 2026-01-01T00:10."""
    ended = {"reason": "Error", "exitCode": 3, "startedAt": last[0], "finishedAt": last[1]}
    side = container(
        "side",
        {"running": {"startedAt": f"2026-01-01T00:10:{started:02}Z"}},
        ready=True,
        lastState={"terminated": ended},
        restartCount=count,
    )
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:10:00Z"}
    return pod(container("worker", RUNS, ready=True), side, conditions=[ready])


SHORT = ("2026-01-01T00:09:00Z", "2026-01-01T00:09:01Z")
LONGER = ("2026-01-01T00:08:21Z", "2026-01-01T00:09:01Z")
MINUTES = ("2026-01-01T00:00:01Z", "2026-01-01T00:09:01Z")
LONG = ("2025-12-31T00:09:00Z", "2026-01-01T00:09:01Z")


@pytest.mark.parametrize(("last", "ran"), [(SHORT, 1), (LONGER, 40), (MINUTES, 60)])
def test_a_container_that_crashes_over_and_over_is_not_ready_meanwhile(
    last: tuple[str, str], ran: float
) -> None:
    again, at = restarted(20, last), CREATED + 620
    assert crashing_until(again) == at + ran + PATIENCE_SECONDS
    read = read_steady(again, at + ran + 1)
    assert (read.ready, read.issue) == (
        False,
        Issue(CRASH_LOOP, "container side terminated with Error, exit code 3, 3 restarts"),
    )
    assert read_steady(again, at + ran + PATIENCE_SECONDS) == read_pod(again)
    assert read_pod(again).ready
    deployment = Deployment(wanted=2, ready=2, available=2, exists=True)
    steady = read_pod(pod(container("worker", RUNS, ready=True), conditions=[READY]))
    left = without_crashing(deployment, [read, steady])
    assert (left.wanted, left.ready, left.available) == (2, 1, 1)
    assert without_crashing(deployment, [steady]) is deployment


@pytest.mark.parametrize(("last", "count"), [(LONG, 3), (SHORT, 1)])
def test_a_container_that_restarts_now_and_then_is_ready_at_once(
    last: tuple[str, str], count: int
) -> None:
    once = restarted(20, last, count)
    assert crashing_until(once) is None
    assert read_steady(once, CREATED + 621) == read_pod(once)


def test_a_container_with_a_readiness_probe_is_ready_once_it_answers() -> None:
    again = restarted(20, SHORT)
    probe = {"httpGet": {"path": "/", "port": 80}}
    again["spec"] = {
        **again.get("spec", {}),
        "containers": [{"name": "side", "readinessProbe": probe}],
    }
    assert crashing_until(again) is None
    assert read_steady(again, CREATED + 621) == read_pod(again)


REFUSED = {
    "phase": "Failed",
    "reason": "OutOfcpu",
    "message": "Node didn't have enough resource: cpu",
    "containerStatuses": None,
}


def test_a_pod_that_the_kubelet_refuses_has_its_reason_until_another_is_ready() -> None:
    refused = pod(container("worker", CREATING), **REFUSED)
    read = read_steady(refused, CREATED + 1)
    why = Issue("OutOfcpu", "pod it: Node didn't have enough resource: cpu")
    assert read.issue == why
    assert crashing_until(refused) == CREATED + ENDED_SECONDS
    successor = read_pod(pod(container("worker", CREATING), metadata={"uid": "next"}))
    one = Deployment(wanted=1, exists=True)
    assert issue_of(one, [read, successor]) == why
    assert issue_of(replace(one, ready=1), [read, successor]) is None
    late = Issue(NOT_READY, "late")
    assert issue_of(one, [read, successor], late) == late


def test_a_pod_that_ended_long_ago_is_no_issue() -> None:
    restarts = container("worker", EXITED, restartCount=9, lastState=EXITED)
    evicted = pod(restarts, phase="Failed", reason="Evicted", message="low on memory")
    assert read_steady(evicted, CREATED + ENDED_SECONDS).issue is None
    again = {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": RECENT}
    evicted["status"]["conditions"] = [again]
    assert read_steady(evicted, CREATED + ENDED_SECONDS).issue == Issue(
        "Evicted", "pod it: low on memory"
    )
    ended = pod(container("worker", EXITED), phase="Failed")
    assert read_steady(ended, CREATED).issue is None


def test_a_pod_that_nobody_acts_on_says_who_should() -> None:
    silent = pod(container("worker", CREATING), containerStatuses=None, initContainerStatuses=None)
    assert (
        explain(silent, [], "").message
        == "pod it has not started: the kubelet of node node has reported nothing"
    )
    silent["spec"] = {"schedulerName": "volcano"}
    assert (
        explain(silent, [], "").message
        == "pod it is not scheduled: scheduler volcano has reported nothing"
    )
