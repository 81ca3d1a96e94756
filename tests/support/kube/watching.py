"""What the tests of outages wait for: jobs as the store reports them, pods that change."""

import contextlib
import os
import subprocess
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from support.kube.installed import FINAL, Endpoint, Installed
from support.kube.provider.client import Cluster
from support.kube.provider.shell import ClusterError, wait_until

Job = Mapping[str, Any]


def jobs_of(endpoint: Endpoint, ids: Iterable[str]) -> list[Job]:
    """Return these jobs as the gateway lists them; AssertionError for any other response."""
    wanted = set(ids)
    try:
        found: list[Job] = [job for job in endpoint.all_jobs() if job["id"] in wanted]
    except (KeyError, OSError) as error:  # a problem, or no connection, while something is down
        raise AssertionError(f"the jobs cannot be listed: {error!r}") from error
    assert len(found) == len(wanted), f"{len(wanted) - len(found)} jobs are missing"
    return found


def until_jobs(
    endpoint: Endpoint, ids: Iterable[str], states: Iterable[str], *, seconds: float = 180
) -> list[Job]:
    """Wait until each of these jobs is in one of the states, and return them."""
    wanted, states = list(ids), set(states)
    found: list[Job] = []

    def there() -> bool:
        nonlocal found
        with contextlib.suppress(AssertionError):
            found = jobs_of(endpoint, wanted)
            return all(job["state"] in states for job in found)
        return False

    try:
        wait_until(f"{len(wanted)} jobs to be {states}", there, seconds=seconds, every=0.5)
    except ClusterError as error:
        others = [job for job in found if job["state"] not in states]
        raise AssertionError(f"{error}; {others[:5]}\n{endpoint.diagnose()}") from None
    return found


def until_ended(endpoint: Endpoint, ids: Iterable[str], *, seconds: float = 180) -> list[Job]:
    """Wait until each of these jobs is final, and return them."""
    return until_jobs(endpoint, ids, FINAL, seconds=seconds)


def outcomes(jobs: Iterable[Job]) -> set[tuple[str, int]]:
    """Return the different (state, attempt) of jobs."""
    return {(job["state"], job["attempt"]) for job in jobs}


def seconds_between(earlier: str, later: str) -> float:
    """Return the seconds from one RFC 3339 time to another."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def kill_pod(cluster: Cluster, namespace: str, name: str) -> None:
    """Delete a pod without a grace period, like that of a lost node."""
    options = ["--grace-period=0", "--force", "--wait=true", "--namespace", namespace]
    cluster.kubectl("delete", "pod", name, *options)


def scale(cluster: Cluster, namespace: str, what: str, count: int) -> None:
    """Set the replicas of a Deployment or StatefulSet and wait for as many ready pods."""
    cluster.kubectl("scale", what, f"--replicas={count}", "--namespace", namespace)
    cluster.rollout(namespace, what)
    selector = cluster.get(what, "--namespace", namespace)["spec"]["selector"]["matchLabels"]
    labels = ",".join(f"{key}={value}" for key, value in selector.items())
    where = ("pods", "-l", labels, "--namespace", namespace)
    wait_until(
        f"{count} pods of {what}", lambda: len(cluster.get(*where)["items"]) == count, seconds=90
    )


def image_of_another_edition(installed: Installed, folder: Any) -> str:
    """Build and load an image with the tests' handlers that differs from the one in use."""
    (folder / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\nENV EDITION=2\n")
    args = {"BASE": "localhost/tests-jobs:latest"}
    name = "localhost/tests-jobs-edited"
    return installed.cluster.publish_image(folder / "Dockerfile", name, build_args=args)


def starts(endpoint: Endpoint) -> set[tuple[str, int]]:
    """Return the endpoint's pods, each with the restart count of its containers."""
    return starts_of(endpoint.pods("gateway") + endpoint.pods("worker"))


def starts_of(pods: Iterable[Mapping[str, Any]]) -> set[tuple[str, int]]:
    """Return pods by UID, each with the restart count of its containers."""
    return {
        (
            pod["metadata"]["uid"],
            sum(c["restartCount"] for c in pod["status"].get("containerStatuses", ())),
        )
        for pod in pods
    }


def taken_back(installed: Installed, endpoint: Endpoint) -> int:
    """Return how many jobs were taken from a worker before it finished them."""
    key = f"aep:{{{endpoint.namespace}/{endpoint.name}}}:totals"
    found = installed.redis("HMGET", key, "released", "recovered").split()
    return sum(map(int, found))


class Load:
    """A client that submits jobs one after the other, for a `with` block."""

    def __init__(self, endpoint: Endpoint, **body: Any) -> None:
        self._endpoint, self._body = endpoint, body
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")
        self.accepted: list[str] = []
        self.answers: Counter[int] = Counter()

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def until_more(self, count: int, *, seconds: float = 120) -> None:
        """Wait until this many more were accepted."""
        wanted = len(self.accepted) + count
        try:
            wait_until("more jobs", lambda: len(self.accepted) >= wanted, seconds=seconds)
        except ClusterError as error:
            raise AssertionError(f"{error}: {self.answers}\n{self._endpoint.diagnose()}") from None

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            try:
                answer = self._endpoint.request("POST", "/run", self._body)
            except OSError:
                self.answers[0] += 1
                continue
            self.answers[answer.status] += 1
            if answer.status == 202:
                self.accepted.append(str(answer.json["id"]))


@dataclass(frozen=True)
class Stage:
    """A Deployment at one time. `rolling`: some of its pods do not have the current template."""

    replicas: int
    rolling: bool


@dataclass
class Stages:
    """What `following` saw; complete once its block has ended."""

    seen: list[Stage] = field(default_factory=list)


FIGURES = (
    "metadata.generation",
    "status.observedGeneration",
    "spec.replicas",
    "status.replicas",
    "status.updatedReplicas",
)


@contextlib.contextmanager
def following(endpoint: Endpoint, folder: Path) -> Iterator[Stages]:
    """Follow the workers' Deployment through a watch, without missing a state."""
    line = ",".join(f"{{.{figure}}}" for figure in FIGURES) + r'{"\n"}'
    words = ("get", "deployment", f"{endpoint.name}-worker", "--namespace", endpoint.namespace)
    log, stages = folder / "stages", Stages()
    with (
        log.open("w") as file,
        subprocess.Popen(
            ["kubectl", *words, "--watch", "-o", f"jsonpath={line}"],
            env={**os.environ, **endpoint.cluster.environment},
            stdout=file,
        ) as process,
    ):
        try:
            wait_until("the first state", lambda: bool(log.read_text()), seconds=30)
            yield stages
        finally:
            process.terminate()
    stages.seen += map(_stage, log.read_text().splitlines())


def _stage(line: str) -> Stage:
    generation, observed, wanted, there, updated = (int(part or 0) for part in line.split(","))
    return Stage(wanted, observed < generation or not updated == there == wanted)
