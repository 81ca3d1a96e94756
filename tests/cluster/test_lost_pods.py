"""Pods of workers, of Redis and of the operator that disappear without warning."""

from collections.abc import Iterator

import pytest

from support.kube.installed import OPERATOR, REDIS_POD, SYSTEM_NAMESPACE, Endpoint, Installed
from support.kube.provider.client import Cluster
from support.kube.watching import (
    kill_pod,
    outcomes,
    scale,
    seconds_between,
    until_ended,
    until_jobs,
)

REDIS = "statefulset/asyncendpoints-redis"
RECOVERY_SECONDS = 10
"""From the start of the new pod's container (by the kubelet) to the last job's end (by Redis)."""


@pytest.fixture(scope="module")
def endpoint(installed: Installed) -> Iterator[Endpoint]:
    """An endpoint with one permanent worker."""
    with (
        installed.cluster.namespace("lost") as place,
        installed.endpoint(
            place,
            "lost",
            worker={"concurrency": 4},
            autoscaling={"minReplicas": 1, "maxReplicas": 1},
        ) as endpoint,
    ):
        endpoint.until_workers(1)
        yield endpoint


def test_jobs_of_a_pod_deleted_by_force_run_again(cluster: Cluster, endpoint: Endpoint) -> None:
    """And are finished within 10 s of the new pod's start.

    They would take a minute in the deleted pod, and no time in any other. The 10 s include how long
    its container survives and how long it must be silent, but not the pace of the test.
    """
    victim = endpoint.pods("worker")[0]["metadata"]["name"]
    jobs = [endpoint.submit(seconds=60, **{"in": victim}) for _ in range(4)]
    until_jobs(endpoint, jobs, {"InProgress"})
    kill_pod(cluster, endpoint.namespace, victim)
    ended = until_ended(endpoint, jobs)
    assert {(job["state"], job["attempt"], job["crashes"]) for job in ended} == {
        ("Completed", 1, 0)
    }
    [pod] = {endpoint.result(job)["pod"] for job in jobs}
    assert pod != victim
    [status] = [
        one["status"]["containerStatuses"][0]
        for one in endpoint.pods("worker")
        if one["metadata"]["name"] == pod
    ]
    started = status["state"]["running"]["startedAt"]
    waits = [seconds_between(started, job["completedAt"]) for job in ended]
    assert max(waits) <= RECOVERY_SECONDS, waits


def test_redis_killed_and_back_loses_nothing(cluster: Cluster, endpoint: Endpoint) -> None:
    workers = {pod["metadata"]["uid"] for pod in endpoint.pods("worker")}
    jobs = [endpoint.submit(seconds=1, value=number) for number in range(20)]
    until_jobs(endpoint, jobs[:2], {"InProgress", "Completed"})
    kill_pod(cluster, SYSTEM_NAMESPACE, REDIS_POD)
    cluster.rollout(SYSTEM_NAMESPACE, REDIS)
    assert {job["state"] for job in until_ended(endpoint, jobs)} == {"Completed"}
    assert workers <= {pod["metadata"]["uid"] for pod in endpoint.pods("worker")}
    endpoint.until("the queue is reachable", reachable, seconds=60)


def test_without_redis_the_service_answers_503(cluster: Cluster, endpoint: Endpoint) -> None:
    held = endpoint.submit(seconds=1)
    scale(cluster, SYSTEM_NAMESPACE, REDIS, 0)
    try:
        endpoint.until("the queue is out of reach", unreachable, seconds=60)
        for method, path, body in (
            ("POST", "/run", {"value": 1}),
            ("GET", f"/jobs/{held}", None),
        ):
            answer = endpoint.request(method, path, body)
            assert answer.status == 503
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert answer.json["status"] == 503
        conditions = endpoint.pods("gateway")[0]["status"]["conditions"]
        assert {c["type"]: c["status"] for c in conditions}["Ready"] == "True"
    finally:
        scale(cluster, SYSTEM_NAMESPACE, REDIS, 1)
    endpoint.until("the queue is reachable", reachable, seconds=60)
    assert endpoint.finished(held)["state"] == "Completed"
    assert endpoint.finished(endpoint.submit(value="again"))["state"] == "Completed"


def test_without_an_operator_jobs_go_on(cluster: Cluster, endpoint: Endpoint) -> None:
    workers = {pod["metadata"]["uid"] for pod in endpoint.pods("worker")}
    scale(cluster, SYSTEM_NAMESPACE, OPERATOR, 0)
    try:
        jobs = [endpoint.submit(value=number) for number in range(10)]
        assert outcomes(until_ended(endpoint, jobs)) == {("Completed", 1)}
    finally:
        scale(cluster, SYSTEM_NAMESPACE, OPERATOR, 1)
    count = len(endpoint.all_jobs())
    endpoint.until("all are counted", lambda status: status["jobs"]["completed"] == count)
    assert workers <= {pod["metadata"]["uid"] for pod in endpoint.pods("worker")}


def reachable(status: dict[str, object]) -> bool:
    return condition(status, "QueueReachable") == "True"


def unreachable(status: dict[str, object]) -> bool:
    return condition(status, "QueueReachable") == "False"


def condition(status: dict[str, object], kind: str) -> str:
    """The status of a condition, "" without it."""
    conditions = status.get("conditions", [])
    assert isinstance(conditions, list)
    return next((str(one["status"]) for one in conditions if one["type"] == kind), "")
