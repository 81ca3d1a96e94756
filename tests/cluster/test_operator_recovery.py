"""Workers, operator and Redis that die while jobs run: everything accepted is done."""

import json
import time
from collections.abc import Iterator

import pytest

from cluster.installed import OPERATOR, REDIS_POD, SYSTEM_NAMESPACE, Endpoint, Installed, is_ready
from cluster.provider.shell import wait_until

SECONDS = 8
ONE = {"minReplicas": 1, "maxReplicas": 1}


@pytest.fixture(scope="module")
def endpoint(installed: Installed) -> Iterator[Endpoint]:
    """One endpoint whose workers stay, for the module."""
    with (
        installed.cluster.namespace("recovery") as place,
        installed.endpoint(place, "reports", autoscaling=ONE) as endpoint,
    ):
        yield endpoint


@pytest.fixture(autouse=True)
def settled(endpoint: Endpoint) -> None:
    """One worker, ready, before each test."""
    endpoint.until_workers(1)


def running(endpoint: Endpoint, job: str) -> None:
    """Wait until a job runs."""
    wait_until("the job to run", lambda: endpoint.job(job, 2)["state"] == "InProgress", seconds=60)


def test_a_pod_deleted_by_force_loses_nothing(endpoint: Endpoint) -> None:
    jobs = [endpoint.submit(seconds=SECONDS, value=n) for n in range(2)]
    for job in jobs:
        running(endpoint, job)
    pod = endpoint.pods("worker")[0]["metadata"]["name"]
    endpoint.kubectl("delete", "pod", pod, "--grace-period=0", "--force")
    for job in jobs:
        found = endpoint.finished(job)
        assert (found["state"], found["attempt"], found["crashes"]) == ("Completed", 1, 0)
        assert endpoint.result(job)["pod"] != pod


def test_a_container_that_is_killed_hands_its_jobs_on_at_once(endpoint: Endpoint) -> None:
    job = endpoint.submit(seconds=SECONDS)
    running(endpoint, job)
    pod = endpoint.pods("worker")[0]["metadata"]["name"]
    # From inside, PID 1 takes no signal it has no handler for: its children do.
    endpoint.kubectl("exec", pod, "--", "python3", "-c", KILL_ALL)
    found = endpoint.finished(job)
    assert found["state"] == "Completed"


KILL_ALL = """
import os, signal
me = os.getpid()
for name in os.listdir("/proc"):
    if name.isdecimal() and int(name) not in (1, me):
        try:
            os.kill(int(name), signal.SIGKILL)
        except OSError:
            pass
"""


def test_a_poison_job_ends_and_spares_its_neighbours(endpoint: Endpoint) -> None:
    neighbours = [endpoint.submit(seconds=2, value=n) for n in range(2)]
    poison = endpoint.submit("/crash")
    found = endpoint.finished(poison)
    assert (found["state"], found["error"]["code"]) == ("Failed", "worker-crashed")
    for job in neighbours:
        assert endpoint.finished(job)["state"] == "Completed"


def test_jobs_go_on_without_the_operator_and_it_catches_up(
    endpoint: Endpoint, installed: Installed
) -> None:
    scale = ["scale", OPERATOR, "--namespace", SYSTEM_NAMESPACE]
    installed.cluster.kubectl(*scale, "--replicas=0")
    try:
        jobs = [endpoint.submit(value=n) for n in range(10)]
        for job in jobs:
            assert endpoint.finished(job)["state"] == "Completed"
        many = [endpoint.submit(seconds=3, value=n) for n in range(12)]
    finally:
        installed.cluster.kubectl(*scale, "--replicas=1")
    installed.cluster.rollout(SYSTEM_NAMESPACE, OPERATOR)
    for job in many:
        assert endpoint.finished(job)["state"] == "Completed"


def test_redis_killed_and_back_loses_nothing(endpoint: Endpoint, installed: Installed) -> None:
    jobs = [endpoint.submit(seconds=SECONDS, value=n) for n in range(2)]
    for job in jobs:
        running(endpoint, job)
    kill = ["delete", "pod", REDIS_POD, "--namespace", SYSTEM_NAMESPACE, "--grace-period=0"]
    installed.cluster.kubectl(*kill, "--force")
    pod = ["get", "pod", REDIS_POD, "--namespace", SYSTEM_NAMESPACE, "-o", "json"]

    def back() -> bool:
        return is_ready(json.loads(installed.cluster.kubectl(*pod, "--ignore-not-found") or "{}"))

    wait_until("Redis to be back", back, seconds=90)
    for job in jobs:
        found = endpoint.finished(job)
        assert (found["state"], found["attempt"]) == ("Completed", 1)
    endpoint.until(
        "QueueReachable",
        lambda status: any(
            c["type"] == "QueueReachable" and c["status"] == "True"
            for c in status.get("conditions", [])
        ),
    )
    assert endpoint.request("POST", "/run", {"value": 1}).status == 202


def test_the_leader_s_death_costs_seconds(endpoint: Endpoint, installed: Installed) -> None:
    scale = ["scale", OPERATOR, "--namespace", SYSTEM_NAMESPACE]
    installed.cluster.kubectl(*scale, "--replicas=2")
    installed.cluster.rollout(SYSTEM_NAMESPACE, OPERATOR)
    try:
        lease = ["get", "lease", "asyncendpoints-operator", "--namespace", SYSTEM_NAMESPACE]
        holder = [*lease, "-o", "jsonpath={.spec.holderIdentity}"]
        first = installed.cluster.kubectl(*holder)
        began = time.monotonic()
        installed.cluster.kubectl(
            *("delete", "pod", first, "--namespace", SYSTEM_NAMESPACE),
            *("--grace-period=0", "--force"),
        )
        wait_until(
            "another to lead",
            lambda: installed.cluster.kubectl(*holder) not in ("", first),
            seconds=40,
        )
        took = time.monotonic() - began
        endpoint.patch({"replicas": 2})
        endpoint.until_workers(2)
        assert took < 15
    finally:
        endpoint.patch({"replicas": None})
        installed.cluster.kubectl(*scale, "--replicas=1")
