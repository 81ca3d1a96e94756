"""HTTP mode in pods: the user's server is a sidecar and outlives the worker that calls it."""

from support.kube.installed import Installed
from support.kube.watching import outcomes, until_ended, until_jobs
from support.paths import KUBE

DOCKERFILE = KUBE / "images" / "http" / "Dockerfile"


def test_a_pod_deleted_gracefully_ends_its_jobs_first(installed: Installed, namespace: str) -> None:
    """The server exits at once on SIGTERM, which a sidecar gets only after the worker's exit."""
    image = installed.cluster.publish_image(DOCKERFILE, "localhost/tests-http")
    http = {"port": 3000, "path": "/jobs"}
    with installed.endpoint(
        namespace,
        "thumbs",
        worker={"image": image, "handlers": None, "http": http, "concurrency": 4},
        autoscaling={"minReplicas": 1},
    ) as endpoint:
        endpoint.until_workers(1)
        pod = endpoint.pods("worker")[0]
        assert [c["name"] for c in pod["spec"]["initContainers"]] == ["target"]
        first = endpoint.submit(value="over HTTP")
        assert endpoint.finished(first)["state"] == "Completed"
        assert endpoint.result(first) == {"value": "over HTTP"}

        jobs = [endpoint.submit(seconds=10, value=number) for number in range(4)]
        until_jobs(endpoint, jobs, {"InProgress"})
        endpoint.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=true")
        assert outcomes(until_ended(endpoint, jobs)) == {("Completed", 1)}
        assert [endpoint.result(job)["value"] for job in jobs] == [0, 1, 2, 3]
