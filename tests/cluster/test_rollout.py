"""A rolling update under load: every job runs once."""

from pathlib import Path

from support.kube.installed import Endpoint, Installed
from support.kube.provider.shell import wait_until
from support.kube.watching import image_of_another_edition, outcomes, until_ended, until_jobs

JOBS = 200


def test_an_edited_image_rolls_under_load_and_every_job_runs_once(
    installed: Installed, namespace: str, tmp_path: Path
) -> None:
    edited = image_of_another_edition(installed, tmp_path)
    with installed.endpoint(
        namespace,
        "rolled",
        worker={"concurrency": 4},
        autoscaling={"minReplicas": 2, "maxReplicas": 3},
    ) as endpoint:
        endpoint.until_workers(2)
        jobs = [endpoint.submit(seconds=1.5, value=number) for number in range(JOBS)]
        until_jobs(endpoint, jobs[:4], {"InProgress", "Completed"})
        endpoint.patch({"worker": {"image": edited}})
        assert outcomes(until_ended(endpoint, jobs)) == {("Completed", 1)}
        wait_until("only new workers", lambda: images_of(endpoint) == {edited}, seconds=120)
        told = endpoint.request("GET", f"/jobs/{jobs[-1]}/result").json
        assert told["value"] == JOBS - 1


def images_of(endpoint: Endpoint) -> set[str]:
    """The images of the endpoint's workers, including terminating ones."""
    return {pod["spec"]["containers"][0]["image"] for pod in endpoint.pods("worker")}
