"""Measures the operator's speed and size on the test cluster and prints a table.

    PYTHONPATH=tests .venv/bin/python tests/support/kube/measure.py

Takes a few minutes; the cluster, the images and the chart are made where they are missing.
ASYNCENDPOINTS_CLUSTER_NAME and ASYNCENDPOINTS_CLUSTER_PROVIDER choose as for the tests.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator

from support.kube import install
from support.kube.freshness import CHANGING, described, freshness
from support.kube.installed import OPERATOR, SYSTEM_NAMESPACE, Endpoint, Installed
from support.kube.provider import progress, session
from support.kube.provider.__main__ import PROVIDER_VARIABLE
from support.kube.provider.client import Cluster
from support.kube.provider.shell import wait_until
from support.kube.timed_watch import TimedWatch
from support.kube.watching import kill_pod, seconds_between, until_ended, until_jobs
from support.paths import KUBE

JOBS = KUBE / "images" / "jobs" / "Dockerfile"
IDLE = 200
MINUTE = 60.0
SCALING = {"maxReplicas": 8, "targetWaitSeconds": 1, "idleSeconds": 600}


class Replicas:
    """The times at which the workers' Deployment was scaled, seen by a concurrent watch."""

    def __init__(self, endpoint: Endpoint) -> None:
        what = ("deployment", f"{endpoint.name}-worker")
        self._watch = TimedWatch(
            endpoint.cluster, endpoint.namespace, *what, template="{.spec.replicas}"
        )
        self.close = self._watch.close
        wait_until("the watch", lambda: bool(self._watch.lines), seconds=30)

    def first(self, count: int, *, seconds: float = 120) -> float:
        """Wait for a number or more and return when it was set (s, monotonic)."""

        def reached() -> list[float]:
            return [at for at, seen in self._watch.lines if int(seen) >= count]

        wait_until(f"{count} replicas", lambda: bool(reached()), seconds=seconds)
        return reached()[0]


def until_ready(endpoint: Endpoint) -> None:
    """Wait for the Service's gateway, in one request to the API server."""
    endpoint.kubectl("wait", f"aep/{endpoint.name}", "--for=condition=Ready", "--timeout=180s")


def from_apply(installed: Installed, place: str) -> tuple[Endpoint, float]:
    """Apply an endpoint; returns it and the seconds until its gateway is Ready."""
    started = time.monotonic()
    installed.cluster.apply(installed.resource(place, "measured", autoscaling=SCALING))
    endpoint = Endpoint(installed.cluster, place, "measured")
    until_ready(endpoint)
    return endpoint, time.monotonic() - started


def from_zero(endpoint: Endpoint) -> tuple[float, float]:
    """The seconds from a job to the decision for a worker, and to its result."""
    endpoint.request("GET", "/jobs")  # the connection to the Service is open
    with contextlib.closing(Replicas(endpoint)) as replicas:
        started = time.monotonic()
        job = endpoint.submit(value="first")
        decided = replicas.first(1) - started
        ended = endpoint.finished(job)
    return decided, seconds_between(ended["createdAt"], ended["completedAt"])


def to_eight(endpoint: Endpoint) -> float:
    """The seconds from a burst, with one worker there, to the decision for eight."""
    endpoint.until_workers(1)
    with contextlib.closing(Replicas(endpoint)) as replicas:
        started = time.monotonic()
        jobs = [endpoint.submit(seconds=3) for _ in range(80)]
        decided = replicas.first(8) - started
        until_ended(endpoint, jobs, seconds=300)
    return decided


def after_a_kill(endpoint: Endpoint) -> float:
    """The seconds from a worker's deletion by force until the last of its jobs runs again."""
    endpoint.kubectl("scale", f"aep/{endpoint.name}", "--replicas=1")
    endpoint.until_workers(1, seconds=300)
    jobs = [endpoint.submit(seconds=5) for _ in range(2)]
    held = until_jobs(endpoint, jobs, {"InProgress"})
    killed = time.time()
    kill_pod(endpoint.cluster, endpoint.namespace, endpoint.pods("worker")[0]["metadata"]["name"])
    ended = until_ended(endpoint, jobs)
    assert all(one["startedAt"] != held[0]["startedAt"] for one in ended)
    origin = "1970-01-01T00:00:00+00:00"
    return max(seconds_between(origin, one["startedAt"]) for one in ended) - killed


def operator_metric(cluster: Cluster, name: str) -> float:
    """A metric of the operator, 0 if it is missing."""
    path = (
        f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/services/asyncendpoints-operator:9090/proxy/metrics"
    )
    for line in cluster.kubectl("get", "--raw", path).splitlines():
        if line.startswith(f"{name} "):
            return float(line.rpartition(" ")[2])
    return 0.0


def memory_mb(cluster: Cluster) -> float:
    """The operator's resident memory in MB."""
    words = ("exec", "--namespace", SYSTEM_NAMESPACE, OPERATOR, "--", "cat", "/proc/1/status")
    lines = cluster.kubectl(*words).splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def at_rest(cluster: Cluster) -> tuple[float, float]:
    """The operator's memory in MB, and its requests to the API server in an idle minute."""
    name = "asyncendpoints_operator_api_requests_total"
    current = operator_metric(cluster, name)

    def settled() -> bool:
        """Whether there were hardly more requests in the last ten seconds than for the Lease."""
        nonlocal current
        previous, current = current, operator_metric(cluster, name)
        return current - previous < 20

    time.sleep(10)
    wait_until("the operator is at rest", settled, seconds=300, every=10)
    before, began = operator_metric(cluster, name), time.monotonic()
    time.sleep(MINUTE)
    made = operator_metric(cluster, name) - before
    return memory_mb(cluster), made * MINUTE / (time.monotonic() - began)


def many(installed: Installed, place: str) -> None:
    """Apply 200 idle endpoints, and wait until each has been reconciled."""
    spec = {"gateway": {"replicas": 0}}
    idle = [installed.resource(place, f"idle-{number}", **spec) for number in range(IDLE)]
    installed.cluster.apply(*idle)

    def all_dealt_with() -> bool:
        items = installed.cluster.get("aep", "--namespace", place)["items"]
        return sum("observedGeneration" in item.get("status", {}) for item in items) >= IDLE

    wait_until(f"{IDLE} endpoints to be dealt with", all_dealt_with, seconds=600, every=2)


def figures(installed: Installed) -> Iterator[tuple[str, str]]:
    """Take one measurement after another."""
    cluster = installed.cluster
    with cluster.namespace("measured") as place:
        endpoint, ready = from_apply(installed, place)
        yield "apply to gateway Ready", f"{ready:.1f} s"
        decided, result = from_zero(endpoint)
        yield "0 to 1 worker: decision", f"{decided:.2f} s"
        yield "0 to 1 worker: first result", f"{result:.1f} s"
        yield "1 to 8 workers: decision", f"{to_eight(endpoint):.2f} s"
        yield "jobs of a pod killed by force run again", f"{after_a_kill(endpoint):.1f} s"
        endpoint.kubectl("scale", f"aep/{endpoint.name}", "--replicas=0")
        endpoint.until_workers(0)
        memory, requests = at_rest(cluster)
        yield "operator, 1 idle endpoint: memory", f"{memory:.0f} MB"
        yield "operator, 1 idle endpoint: API requests", f"{requests:.0f} a minute"
        endpoint.close()
    with cluster.namespace("changing") as place:
        name = f"{CHANGING} changing endpoints: age of counts, median, 99 %, longest"
        yield name, described(freshness(installed, place))
    with cluster.namespace("idle") as place:
        started = time.monotonic()
        many(installed, place)
        yield f"{IDLE} endpoints applied and dealt with", f"{time.monotonic() - started:.0f} s"
        memory, requests = at_rest(cluster)
        yield f"operator, {IDLE} idle endpoints: memory", f"{memory:.0f} MB"
        yield f"operator, {IDLE} idle endpoints: API requests", f"{requests:.0f} a minute"


def main() -> int:
    """Install what is missing, measure and print the table."""
    progress.to_stream(sys.stderr)
    choice = session.choose(os.environ.get(PROVIDER_VARIABLE, "auto"))
    with session.use(choice) as provider:
        cluster = Cluster(provider)
        images = install.project_images(cluster)
        redis = cluster.redis_image()
        install.install_chart(cluster, install.chart_values(images, redis))
        args = {"BASE": images["worker"]}
        worker = cluster.publish_image(JOBS, "localhost/tests-jobs", build_args=args)
        report(figures(Installed(cluster, images, worker, redis)), sys.stdout.write)
    return 0


def report(found: Iterator[tuple[str, str]], write: Callable[[str], object]) -> None:
    """Print each result as it arrives, with the load of the machine."""
    write("| figure | measured | load of the machine |\n|---|---|---|\n")
    for name, value in found:
        write(f"| {name} | {value} | {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
