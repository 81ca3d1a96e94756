"""The image is changed in the same second in which the queue empties: no job is interrupted."""

from itertools import pairwise
from pathlib import Path

from support.kube.installed import Installed
from support.kube.watching import (
    following,
    image_of_another_edition,
    jobs_of,
    outcomes,
    taken_back,
    until_ended,
    until_jobs,
)

WORKERS = 4


def test_a_rollout_comes_before_a_scale_in_and_every_job_runs_once(
    installed: Installed, namespace: str, tmp_path: Path
) -> None:
    edited = image_of_another_edition(installed, tmp_path)
    scaling = {"minReplicas": WORKERS, "maxReplicas": WORKERS}
    with installed.endpoint(namespace, "both", autoscaling=scaling) as endpoint:
        endpoint.until_workers(WORKERS)
        # Two slots per worker: all are busy, and then three jobs on two or three of the four.
        long = [endpoint.submit(seconds=25) for _ in range(WORKERS - 1)]
        short = [endpoint.submit(seconds=3) for _ in range(WORKERS + 1)]
        until_jobs(endpoint, long + short, {"InProgress", "Completed"})
        with following(endpoint, tmp_path) as stages:
            until_ended(endpoint, short)
            assert {job["state"] for job in jobs_of(endpoint, long)} == {"InProgress"}
            endpoint.patch({"worker": {"image": edited}, "autoscaling": {"minReplicas": 0}})
            ended = until_ended(endpoint, long + short)
            endpoint.until_workers(0)
        assert outcomes(ended) == {("Completed", 1)}
        assert taken_back(installed, endpoint) == 0
        assert any(stage.rolling and stage.replicas == WORKERS for stage in stages.seen)
        # Not even one fewer during the rollout; and none at all once no worker holds a job.
        steps = [(was, now.replicas) for was, now in pairwise(stages.seen)]
        lowered = {after for was, after in steps if was.rolling and after < was.replicas}
        assert lowered <= {0}, stages.seen
