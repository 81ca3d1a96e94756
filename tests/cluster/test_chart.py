"""The chart from its users' view: lint, `helm test`, upgrades, and kubectl's output."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.kube import install
from support.kube.installed import SYSTEM_NAMESPACE, Endpoint, Installed
from support.kube.provider.client import Cluster
from support.kube.provider.shell import wait_until
from support.kube.watching import until_jobs

FIRST = Path(__file__).parent / "frozen" / "chart-0.1.0"
RELEASE = ("asyncendpoints", "--namespace", SYSTEM_NAMESPACE)


@pytest.fixture
def values(installed: Installed) -> dict[str, Any]:
    """The values of the release."""
    told = installed.cluster.helm("get", "values", *RELEASE, "-o", "json")
    found: dict[str, Any] = json.loads(told)
    return found


@pytest.fixture
def restored(cluster: Cluster, values: dict[str, Any]) -> Iterator[None]:
    """Install the current chart with the current values again after the test."""
    yield
    install.install_chart(cluster, values)


def test_lint_finds_nothing(cluster: Cluster, values: dict[str, Any]) -> None:
    words = ("--strict", "--kube-version", "1.34.4", "--values", "-")
    said = cluster.helm("lint", str(install.CHART), *words, stdin=json.dumps(values))
    assert "1 chart(s) linted, 0 chart(s) failed" in said
    assert "[WARNING]" not in said


def test_its_own_test_passes(cluster: Cluster, installed: Installed) -> None:
    assert "Phase:          Succeeded" in cluster.helm("test", *RELEASE, "--timeout", "3m")


def test_an_upgrade_from_the_first_chart_keeps_resources_and_workers(
    installed: Installed, namespace: str, values: dict[str, Any], restored: None
) -> None:
    cluster = installed.cluster
    # The Redis of the first chart cannot read what Valkey has written: begin with an empty volume.
    redis = ("statefulset/asyncendpoints-redis", "pvc/data-asyncendpoints-redis-0")
    cluster.kubectl("delete", *redis, "--namespace", SYSTEM_NAMESPACE)
    # Values that the first chart did not have: one would be a change of the gateways' settings.
    values = {name: each for name, each in values.items() if name not in {"webhooks", "console"}}
    install.install_chart(cluster, values, FIRST)
    with installed.endpoint(namespace, "kept", autoscaling={"minReplicas": 1}) as endpoint:
        endpoint.until_workers(1)
        job = endpoint.submit(seconds=20)
        until_jobs(endpoint, [job], {"InProgress"})
        before = identities(endpoint)
        # Change a value of the operator too, so that it is replaced and reconciles everything.
        operator = {**values["operator"], "podAnnotations": {"tests/upgraded": "true"}}
        install.install_chart(cluster, {**values, "operator": operator})
        # The upgrade replaces the development Redis by Valkey, so the gateway has to reconnect.
        wait_until(
            "the gateway reaches the store again",
            lambda: endpoint.request("GET", f"/jobs/{job}").status == 200,
            seconds=30,
        )
        ended = endpoint.finished(job)
        assert (ended["state"], ended["attempt"]) == ("Completed", 1)
        assert endpoint.finished(endpoint.submit(value="later"))["state"] == "Completed"
        endpoint.until("the new operator counts both", lambda s: s["jobs"]["completed"] == 2)
        assert identities(endpoint) == before


def test_explain_teaches(cluster: Cluster, installed: Installed) -> None:
    for path, words in (
        ("aep.spec.retry", ("maxRetries", "<integer>", "DESCRIPTION")),
        ("aep.spec.autoscaling", ("targetWaitSeconds", "maxReplicas")),
        ("aep.status", ("conditions", "readyReplicas")),
    ):
        told = cluster.kubectl("explain", path)
        assert all(word in told for word in words), told


def test_watching_shows_what_happens(
    cluster: Cluster, installed: Installed, namespace: str, tmp_path: Path
) -> None:
    seen = tmp_path / "watch"
    with installed.endpoint(namespace, "watched") as endpoint:
        command = ["kubectl", "get", "aep", "--namespace", namespace, "--watch"]
        environment = cluster.environment
        with (
            seen.open("w") as out,
            subprocess.Popen(command, stdout=out, env=environment) as watch,
        ):
            try:
                wait_until("the first line", lambda: bool(rows(seen)), seconds=30)
                job = endpoint.submit(seconds=6)
                # READY, QUEUED, RUNNING, FAILED, WORKERS
                wait_until(
                    "the job and its worker to be shown",
                    lambda: any(row[1:6] == ["True", "0", "1", "0", "1"] for row in rows(seen)),
                    seconds=90,
                )
                assert endpoint.finished(job)["state"] == "Completed"
            finally:
                watch.terminate()
    assert seen.read_text().split("\n")[0].split()[:2] == ["NAME", "READY"]
    assert rows(seen)[0][:2] == ["watched", "True"]


def rows(seen: Path) -> list[list[str]]:
    """The lines that a watch has printed, without the header."""
    return [line.split() for line in seen.read_text().splitlines()[1:]]


def identities(endpoint: Endpoint) -> dict[str, Any]:
    """What must stay the same: the resource, and the workers' pods with their restarts."""
    pods = endpoint.pods("worker")
    restarts = [pod["status"]["containerStatuses"][0]["restartCount"] for pod in pods]
    return {
        "resource": endpoint.get()["metadata"]["uid"],
        "generation": endpoint.get()["metadata"]["generation"],
        "workers": sorted(pod["metadata"]["uid"] for pod in pods),
        "restarts": restarts,
    }
