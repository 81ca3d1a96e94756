"""Workers that are ended by a job: which job is charged, and how the worker recovers."""

from collections.abc import Iterator

import pytest

from support.kube.installed import Endpoint, Installed
from support.kube.provider.shell import wait_until

ONE = {"minReplicas": 1, "maxReplicas": 1}
LIMIT = {"requests": {"cpu": "20m"}, "limits": {"memory": "256Mi"}}
# From inside, PID 1 ignores signals without a handler; its children do not.
KILL_CHILDREN = """
import os, signal
for name in os.listdir("/proc"):
    if name.isdecimal() and int(name) not in (1, os.getpid()):
        try:
            os.kill(int(name), signal.SIGKILL)
        except OSError:
            pass
"""


@pytest.fixture(scope="module")
def endpoint(installed: Installed) -> Iterator[Endpoint]:
    """One endpoint with one permanent worker, for the module."""
    spec = {"autoscaling": ONE, "worker": {"resources": LIMIT}}
    with (
        installed.cluster.namespace("recovery") as place,
        installed.endpoint(place, "reports", **spec) as endpoint,
    ):
        endpoint.until_workers(1)
        yield endpoint


def running(endpoint: Endpoint, job: str) -> None:
    """Wait until a job runs."""
    wait_until("the job to run", lambda: endpoint.job(job, 2)["state"] == "InProgress", seconds=60)


def test_a_job_whose_process_was_killed_runs_again(endpoint: Endpoint) -> None:
    job = endpoint.submit(seconds=5)
    running(endpoint, job)
    pod = endpoint.pods("worker")[0]["metadata"]["name"]
    endpoint.kubectl("exec", pod, "--", "python3", "-c", KILL_CHILDREN)
    found = endpoint.finished(job)
    assert (found["state"], found["attempt"], found["crashes"]) == ("Completed", 1, 1)


def test_a_poison_job_ends_and_spares_its_neighbours(endpoint: Endpoint) -> None:
    neighbours = [endpoint.submit(seconds=2, value=n) for n in range(2)]
    poison = endpoint.submit("/crash")
    found = endpoint.finished(poison)
    assert (found["state"], found["error"]["code"]) == ("Failed", "worker-crashed")
    for job in neighbours:
        assert endpoint.finished(job)["state"] == "Completed"


def test_a_job_that_takes_all_memory_ends_the_same(endpoint: Endpoint) -> None:
    found = endpoint.finished(endpoint.submit("/eat", megabytes=400), seconds=240)
    assert (found["state"], found["error"]["code"]) == ("Failed", "worker-crashed")
    for error in (found["error"], *(attempt["error"] for attempt in found["attempts"])):
        assert "SIGKILL" in error["message"]
        assert "out of memory (limit 256 MiB)" in error["message"]

    def out_of_memory(_status: object) -> bool:
        # An earlier crash of the same worker is shown until it reports this one.
        degraded = endpoint.condition("Degraded")
        return degraded.get("reason") == "WorkerCrashed" and "out of memory" in degraded["message"]

    endpoint.until("WorkerCrashed, out of memory", out_of_memory)
    assert "WorkerCrashed" in endpoint.events()
    assert endpoint.finished(endpoint.submit(value="well"))["state"] == "Completed"


def test_a_deleted_secret_is_made_again_when_a_pod_needs_it(endpoint: Endpoint) -> None:
    volumes = endpoint.pods("worker")[0]["spec"]["volumes"]
    secret = next(v["secret"]["secretName"] for v in volumes if v.get("secret"))
    endpoint.kubectl("delete", "secret", secret)
    pod = endpoint.pods("worker")[0]["metadata"]["name"]
    endpoint.kubectl("delete", "pod", pod, "--wait=false")
    wait_until(
        "the Secret to be there",
        lambda: bool(endpoint.kubectl("get", "secret", secret, "--ignore-not-found")),
        seconds=90,
    )
    assert endpoint.finished(endpoint.submit(value="back"), seconds=240)["state"] == "Completed"
