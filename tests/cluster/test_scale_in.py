"""Scale-in while every worker is half busy: no job is released."""

from support.kube.installed import Installed
from support.kube.watching import outcomes, until_ended, until_jobs


def test_half_busy_workers_are_scaled_in_without_a_release(
    installed: Installed, namespace: str
) -> None:
    with installed.endpoint(namespace, "wide", replicas=5, worker={"concurrency": 4}) as endpoint:
        endpoint.until_workers(5, seconds=180)
        jobs = [endpoint.submit(seconds=12) for _ in range(10)]
        until_jobs(endpoint, jobs, {"InProgress"})
        endpoint.kubectl("scale", "aep/wide", "--replicas=2")
        endpoint.until_workers(2)
        assert outcomes(until_ended(endpoint, jobs)) == {("Completed", 1)}

        jobs = [endpoint.submit(seconds=8) for _ in range(4)]
        until_jobs(endpoint, jobs, {"InProgress"})
        endpoint.kubectl("scale", "aep/wide", "--replicas=0")
        endpoint.until_workers(0)
        assert outcomes(until_ended(endpoint, jobs)) == {("Completed", 1)}
