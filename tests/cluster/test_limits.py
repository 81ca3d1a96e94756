"""Limits of concurrency on the cluster hold while workers are scaled and their pods killed."""

from collections.abc import Iterable
from itertools import accumulate

from support.kube.installed import Installed
from support.kube.watching import kill_pod, until_ended

TOTAL, PER_KEY = 3, 2
ROUTES = [{"path": "/run/{customer}", "job": "run", "key": "param:customer"}]
JOBS, CUSTOMERS = 12, ("acme", "globex", "initech")


def test_limits_hold_while_workers_are_scaled_and_killed(
    installed: Installed, namespace: str
) -> None:
    limits = {"total": {"concurrency": TOTAL}, "perKey": {"concurrency": PER_KEY}}
    stays = {"minReplicas": 1, "maxReplicas": 6}
    with installed.endpoint(
        namespace, "limited", routes=ROUTES, limits=limits, autoscaling=stays
    ) as endpoint:
        endpoint.until_workers(1)
        endpoint.kubectl("scale", "aep", endpoint.name, "--replicas=6")
        endpoint.until_workers(6)
        jobs = {
            customer: [endpoint.submit(f"/run/{customer}", seconds=1) for _ in range(JOBS)]
            for customer in CUSTOMERS
        }
        every = [job for ids in jobs.values() for job in ids]
        for pod in endpoint.pods("worker")[:2]:
            kill_pod(installed.cluster, namespace, pod["metadata"]["name"])
        endpoint.kubectl("scale", "aep", endpoint.name, "--replicas=1")
        assert {job["state"] for job in until_ended(endpoint, every)} == {"Completed"}
        ran = {job: endpoint.result(job)["ran"] for job in every}
        assert most_at_once(ran.values()) == TOTAL
        for ids in jobs.values():
            assert most_at_once(ran[job] for job in ids) <= PER_KEY


def most_at_once(runs: Iterable[tuple[float, float]]) -> int:
    """How many of these runs overlapped at most; each is its start and end, in seconds."""
    changes = sorted(change for start, end in runs for change in ((start, 1), (end, -1)))
    return max(accumulate(step for _, step in changes))
