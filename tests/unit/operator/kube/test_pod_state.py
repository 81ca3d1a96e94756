"""Pods and Deployments as the API shows them, read into what the operator asks of them."""

from typing import Any

import pytest

from asyncendpoints_operator.kube.pod_state import (
    NO_DEPLOYMENT,
    Deployment,
    Issue,
    Pod,
    issue_of,
    read_deployment,
    read_pod,
)


def pod(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "reports-worker-1",
            "uid": "u",
            "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T00:00:10Z",
            "annotations": {
                "controller.kubernetes.io/pod-deletion-cost": "-100",
                "asyncendpoints.io/template": "abc",
            },
        },
        "spec": {"nodeName": "node"},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            **status,
        },
    }


def container(name: str = "worker", **state: Any) -> dict[str, Any]:
    return {"name": name, **state}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"state": {"waiting": {"reason": reason, "message": message}}}


def test_a_pod_is_read() -> None:
    assert read_pod(pod()) == Pod(
        name="reports-worker-1",
        uid="u",
        phase="Running",
        ready=True,
        deleting=False,
        scheduled=True,
        template="abc",
        cost=-100,
        created=1_767_225_610.0,
    )


def test_a_pod_that_just_appeared_is_read() -> None:
    read = read_pod({"metadata": {"name": "a", "uid": "u", "deletionTimestamp": "x"}})
    assert (read.phase, read.ready, read.deleting, read.scheduled) == (
        "Pending",
        False,
        True,
        False,
    )


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"containerStatuses": [container(**waiting("ContainerCreating"))]}, None),
        (
            {"containerStatuses": [container(**waiting("ErrImagePull", "not found"))]},
            Issue("ImagePullBackOff", "container worker: not found"),
        ),
        (
            {"initContainerStatuses": [container("target", **waiting("InvalidImageName"))]},
            Issue("InvalidImageName", "container target"),
        ),
        (
            {
                "containerStatuses": [
                    container(
                        restartCount=4,
                        lastState={"terminated": {"reason": "OOMKilled", "exitCode": 137}},
                        **waiting("CrashLoopBackOff", "back-off 40s"),
                    )
                ]
            },
            Issue(
                "CrashLoopBackOff",
                "container worker terminated with OOMKilled, exit code 137, 4 restarts",
            ),
        ),
        (
            {
                "containerStatuses": [
                    container(
                        restartCount=1,
                        lastState={
                            "terminated": {"exitCode": 2, "message": "UsageError: no module jobs"}
                        },
                        **waiting("CrashLoopBackOff", "back-off 10s"),
                    )
                ]
            },
            Issue(
                "CrashLoopBackOff",
                "container worker terminated with Error, exit code 2, 1 restarts: "
                "UsageError: no module jobs",
            ),
        ),
        (
            {
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/1 nodes are available",
                    }
                ]
            },
            Issue("Unschedulable", "0/1 nodes are available"),
        ),
    ],
)
def test_why_a_pod_does_not_get_ready(status: dict[str, Any], expected: Issue | None) -> None:
    assert read_pod(pod(**status)).issue == expected


def test_a_container_that_keeps_crashing_counts_as_crashing_while_it_runs() -> None:
    again = container(
        state={"running": {}},
        ready=False,
        restartCount=3,
        lastState={"terminated": {"reason": "Error", "exitCode": 2}},
    )
    issue = read_pod(pod(containerStatuses=[again])).issue
    assert issue == Issue(
        "CrashLoopBackOff", "container worker terminated with Error, exit code 2, 3 restarts"
    )
    assert read_pod(pod(containerStatuses=[{**again, "ready": True}])).issue is None


def test_the_newest_pod_speaks_and_then_the_deployment() -> None:
    def stuck(name: str, created: float, reason: str, **more: Any) -> Pod:
        values = {"phase": "Pending", "ready": False, "deleting": False, "scheduled": True}
        return Pod(
            name=name,
            uid=name,
            template="",
            cost=0,
            created=created,
            issue=Issue(reason, ""),
            **{**values, **more},
        )

    quota = Deployment(issue=Issue("FailedCreate", "exceeded quota"))
    pods = [stuck("a", 1, "Old"), stuck("b", 2, "New"), stuck("c", 3, "Gone", deleting=True)]
    pods.append(stuck("d", 4, "Evicted", phase="Failed"))
    assert issue_of(quota, pods) == Issue("New", "")
    assert issue_of(quota, []) == quota.issue


def manifest(**status: Any) -> dict[str, Any]:
    return {"metadata": {"generation": 3}, "spec": {"replicas": 2}, "status": status}


def test_a_deployment_is_read() -> None:
    read = read_deployment(
        manifest(
            observedGeneration=3,
            replicas=2,
            updatedReplicas=2,
            readyReplicas=1,
            availableReplicas=1,
        )
    )
    assert (read.wanted, read.ready, read.exists) == (2, 1, True)
    assert not read.rolling
    assert read_deployment(None) == NO_DEPLOYMENT


@pytest.mark.parametrize(
    ("status", "rolling"),
    [
        ({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2}, True),  # not yet seen
        ({"observedGeneration": 3, "replicas": 3, "updatedReplicas": 1}, True),  # old pods
        ({"observedGeneration": 3, "replicas": 1, "updatedReplicas": 1}, True),  # one to come
        ({"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2}, False),
        (
            {
                "observedGeneration": 3,
                "replicas": 1,
                "updatedReplicas": 1,
                "conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "Quota"}],
            },
            False,  # fewer would be just what helps
        ),
    ],
)
def test_rollouts_are_distinguished_from_steps(status: dict[str, Any], rolling: bool) -> None:
    assert read_deployment(manifest(**status)).rolling is rolling


def test_a_rollout_that_does_not_get_on_is_trouble() -> None:
    condition = {
        "type": "Progressing",
        "status": "False",
        "reason": "ProgressDeadlineExceeded",
        "message": "has timed out",
    }
    read = read_deployment(manifest(conditions=[condition]))
    assert read.issue == Issue("ProgressDeadlineExceeded", "has timed out")


@pytest.mark.parametrize("reason", ["", "no-gpu left", None])
def test_a_reason_that_no_condition_may_have_is_replaced(reason: str | None) -> None:
    unplaced = {"type": "PodScheduled", "status": "False", "reason": reason, "message": "full"}
    assert read_pod(pod(conditions=[unplaced])).issue == Issue("Unschedulable", "full")
    failed = {"type": "ReplicaFailure", "status": "True", "reason": reason, "message": "no"}
    assert read_deployment(manifest(conditions=[failed])).issue == Issue("ReplicaFailure", "no")
