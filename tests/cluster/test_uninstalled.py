"""A second release: another class, another namespace, and a Redis that it does not own.

Uninstalling it stops no workload; installing it again takes over.
"""

import json
from collections.abc import Iterator

import pytest

from support.kube import install
from support.kube.installed import Endpoint, Installed
from support.kube.own_redis import OwnRedis
from support.kube.provider.client import Cluster
from support.kube.provider.shell import wait_until
from support.kube.watching import outcomes, until_ended, until_jobs

CLASS = "apart"


class Apart:
    """How the second release is installed and uninstalled."""

    def __init__(self, installed: Installed, namespace: str) -> None:
        self.cluster, self.namespace = installed.cluster, namespace
        self.values = install.chart_values(installed.images, installed.redis_image) | {
            "crds": {"install": False},
            "operator": {"className": CLASS},
            "redis": {"existingSecret": {"name": "redis", "key": "url"}},
        }

    def install(self) -> None:
        """Install the chart and wait for it."""
        where = ("--namespace", self.namespace, "--values", "-", "--wait", "--timeout", "3m")
        words = ("upgrade", "--install", CLASS, str(install.CHART), *where)
        self.cluster.helm(*words, stdin=json.dumps(self.values))

    def uninstall(self) -> None:
        """Uninstall it and wait until nothing is left."""
        where = ("--namespace", self.namespace, "--wait", "--timeout", "3m")
        self.cluster.helm("uninstall", CLASS, *where, "--ignore-not-found")


@pytest.fixture
def apart(installed: Installed, namespace: str) -> Iterator[Apart]:
    """The release, which is removed after the test."""
    OwnRedis(installed.cluster, namespace, installed.redis_image).start()
    release = Apart(installed, namespace)
    release.install()
    yield release
    release.uninstall()


def test_jobs_go_on_while_the_operator_is_uninstalled(
    installed: Installed, cluster: Cluster, apart: Apart
) -> None:
    with installed.endpoint(
        apart.namespace, "orphan", className=CLASS, autoscaling={"minReplicas": 1}
    ) as endpoint:
        endpoint.until_workers(1)
        uid = endpoint.get()["metadata"]["uid"]
        workers = worker_uids(endpoint)
        jobs = [endpoint.submit(seconds=2) for _ in range(10)]
        until_jobs(endpoint, jobs[:1], {"InProgress", "Completed"})
        apart.uninstall()
        jobs += [endpoint.submit(value=number) for number in range(5)]
        assert outcomes(until_ended(endpoint, jobs)) == {("Completed", 1)}
        assert endpoint.get()["metadata"]["uid"] == uid

        apart.install()
        jobs.append(endpoint.submit(value="seen"))
        assert endpoint.finished(jobs[-1])["state"] == "Completed"
        endpoint.until("all are counted", lambda s: s["jobs"]["completed"] == len(jobs))
        assert workers <= worker_uids(endpoint)
        endpoint.delete("--wait=true")
        wait_until("the workers to be gone", lambda: not endpoint.pods("worker"), seconds=120)


def worker_uids(endpoint: Endpoint) -> set[str]:
    """The UIDs of the endpoint's workers."""
    return {pod["metadata"]["uid"] for pod in endpoint.pods("worker")}
