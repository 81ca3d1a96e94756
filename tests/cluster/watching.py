"""What the tests of outages wait for: jobs by the store's word, pods that come and go."""

import contextlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from cluster.installed import FINAL, Endpoint, Installed
from cluster.provider.client import Cluster
from cluster.provider.shell import ClusterError, wait_until

Job = Mapping[str, Any]


def jobs_of(endpoint: Endpoint, ids: Iterable[str]) -> list[Job]:
    """Return these jobs as the gateway lists them; AssertionError when it answers otherwise."""
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
    """Delete a pod with no grace, as a lost node's is."""
    options = ["--grace-period=0", "--force", "--wait=true", "--namespace", namespace]
    cluster.kubectl("delete", "pod", name, *options)


def scale(cluster: Cluster, namespace: str, what: str, count: int) -> None:
    """Set the replicas of a Deployment or StatefulSet and wait for so many ready pods."""
    cluster.kubectl("scale", what, f"--replicas={count}", "--namespace", namespace)
    cluster.rollout(namespace, what)
    selector = cluster.get(what, "--namespace", namespace)["spec"]["selector"]["matchLabels"]
    labels = ",".join(f"{key}={value}" for key, value in selector.items())
    where = ("pods", "-l", labels, "--namespace", namespace)
    wait_until(
        f"{count} pods of {what}", lambda: len(cluster.get(*where)["items"]) == count, seconds=90
    )


def image_of_another_edition(installed: Installed, folder: Any) -> str:
    """Build and load an image with the tests' handlers that is not the one in use."""
    (folder / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\nENV EDITION=2\n")
    args = {"BASE": "localhost/tests-jobs:latest"}
    name = "localhost/tests-jobs-edited"
    return installed.cluster.publish_image(folder / "Dockerfile", name, build_args=args)
