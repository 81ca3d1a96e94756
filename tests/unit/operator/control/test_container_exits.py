"""Whose jobs a container that ended held, and whether that was a job's own doing."""

from typing import Any

import pytest

from asyncendpoints_core.store.replies import Cause, WorkerInfo, WorkerState
from asyncendpoints_operator.control.container_exits import (
    KILL_SHOWN_SECONDS,
    Release,
    cause_of,
    container_exits,
    how_died,
    memory_kills,
    releases,
)

UID = "pod-uid"
T0 = 1_767_225_600  # 2026-01-01T00:00:00Z


def at(second: int) -> str:
    return f"2026-01-01T00:{second // 60:02}:{second % 60:02}Z"


def terminated(
    exit_code: int = 137, reason: str = "Error", started: int = 0, finished: int = 30
) -> dict[str, Any]:
    return {
        "exitCode": exit_code,
        "reason": reason,
        "startedAt": at(started),
        "finishedAt": at(finished),
        "containerID": f"containerd://{started}",
    }


def pod(
    state: dict[str, Any] | None = None,
    last: dict[str, Any] | None = None,
    *,
    deleting: bool = False,
    name: str = "worker",
    **status: Any,
) -> dict[str, Any]:
    container: dict[str, Any] = {"name": name, "state": state or {}}
    if last:
        container["lastState"] = {"terminated": last}
    metadata: dict[str, Any] = {"name": "reports-worker-1", "uid": UID}
    if deleting:
        metadata["deletionTimestamp"] = at(20)
    return {"metadata": metadata, "status": {"containerStatuses": [container], **status}}


def running(started: int) -> dict[str, Any]:
    return {"running": {"startedAt": at(started)}}


def worker(name: str, second: float, uid: str = UID) -> WorkerState:
    started = int((T0 + second) * 1_000) if second >= 0 else 0
    return WorkerState(WorkerInfo(name, uid, name, 4, started_ms=started), 0, 1)


def released(of: dict[str, Any], *workers: WorkerState) -> dict[str, Cause]:
    return {release.worker: release.cause for release in releases(of, workers)}


def test_only_the_incarnation_that_ended_is_released() -> None:
    restarted = pod(running(32), terminated(reason="OOMKilled", started=0, finished=30))
    first, second = worker("first", 1.2), worker("second", 32.4)
    assert released(restarted, first, second) == {"first": Cause.CRASH}


def test_the_present_incarnation_is_safe_within_the_same_second() -> None:
    # Everything in one second: the new one started at 9.9 s, the old one at 9.1 s.
    quick = pod(running(9), terminated(started=9, finished=9))
    assert released(quick, worker("old", 9.1), worker("new", 9.95)) == {}


def test_between_two_starts_the_one_that_ended_is_released() -> None:
    backing_off = pod({"waiting": {"reason": "CrashLoopBackOff"}}, terminated(finished=30))
    assert released(backing_off, worker("ended", 1), worker("unsure", 30.5)) == {
        "ended": Cause.CRASH
    }
    just_ended = pod({"terminated": terminated(finished=30)})
    assert released(just_ended, worker("ended", 1), worker("next", 31)) == {"ended": Cause.CRASH}


def test_a_first_run_that_continues_releases_no_worker() -> None:
    assert released(pod(running(0)), worker("w", 1)) == {}


def test_a_deletion_is_not_an_exit() -> None:
    draining = pod(running(0), deleting=True)
    assert released(draining, worker("w", 1)) == {}


def test_a_drained_pod_is_released_whole() -> None:
    drained = pod({"terminated": terminated(0, "Completed")}, deleting=True)
    assert released(drained, worker("w", 1), worker("late", 30.9)) == {
        "w": Cause.DRAINED,
        "late": Cause.DRAINED,
    }


def test_workers_of_other_pods_are_none_of_it() -> None:
    ended = pod({"terminated": terminated()}, deleting=True)
    assert released(ended, worker("w", 1, uid="other")) == {}


def test_a_worker_without_a_known_start_is_left_to_its_lease() -> None:
    restarted = pod(running(32), terminated())
    assert released(restarted, worker("w", -1)) == {}


def test_an_evicted_pod_is_released_whole() -> None:
    evicted = pod(
        {"terminated": terminated(137)},
        phase="Failed",
        reason="Evicted",
        message="The node was low on resource: memory. Threshold quantity: 100Mi",
    )
    assert released(evicted, worker("w", 1), worker("unknown", -1)) == {
        "w": Cause.CRASH,
        "unknown": Cause.CRASH,
    }


def test_a_failed_pod_whose_container_runs_still_is_not_released_whole() -> None:
    assert released(pod(running(0), phase="Failed", reason="Evicted"), worker("w", 1)) == {}


def test_a_failed_pod_without_container_states_is_over() -> None:
    over = {
        "metadata": {"name": "p", "uid": UID},
        "status": {"phase": "Failed", "reason": "NodeShutdown"},
    }
    assert released(over, worker("w", 1)) == {"w": Cause.LOST}


def test_a_lost_node_says_nothing() -> None:
    unknown = {"metadata": {"name": "p", "uid": UID}, "status": {"phase": "Running"}}
    assert released(unknown, worker("w", 1)) == {}


def test_the_users_container_of_http_mode_holds_no_jobs() -> None:
    target = {
        "name": "target",
        "state": running(40),
        "lastState": {"terminated": terminated(reason="OOMKilled")},
    }
    both = pod(running(0), initContainerStatuses=[target])
    assert released(both, worker("w", 1)) == {}
    (ended,) = container_exits(both)
    assert (ended.container, ended.is_worker, ended.cause) == ("target", False, Cause.CRASH)


def test_the_latest_end_comes_first() -> None:
    twice = pod({"terminated": terminated(1, started=31, finished=50)}, terminated(finished=30))
    assert [ended.finished - T0 for ended in container_exits(twice)] == [50, 30]


DISRUPTED = {"type": "DisruptionTarget", "status": "True"}


@pytest.mark.parametrize(
    ("of", "end", "cause"),
    [
        (pod(), terminated(reason="OOMKilled"), Cause.CRASH),
        (pod(deleting=True), terminated(reason="OOMKilled"), Cause.CRASH),
        (pod(), terminated(139), Cause.CRASH),
        (pod(), terminated(137), Cause.CRASH),
        (pod(), terminated(0, "Completed"), Cause.DRAINED),
        (pod(deleting=True), terminated(0, "Completed"), Cause.DRAINED),
        (pod(deleting=True), terminated(137), Cause.LOST),  # its grace was over
        (pod(), terminated(1), Cause.LOST),
        (pod(), terminated(2), Cause.LOST),
        (pod(), terminated(143), Cause.LOST),
        (pod(), terminated(137, "ContainerStatusUnknown"), Cause.LOST),
        (
            pod(reason="Evicted", message="The node was low on resource: ephemeral-storage."),
            terminated(137),
            Cause.CRASH,
        ),
        (
            pod(
                reason="Evicted", message='Usage of EmptyDir volume "tmp" exceeds the limit "1Gi".'
            ),
            terminated(137),
            Cause.CRASH,
        ),
        (
            pod(
                reason="Evicted",
                message="Pod ephemeral local storage usage exceeds the total limit of containers",
            ),
            terminated(137),
            Cause.CRASH,
        ),
        (
            pod(reason="Evicted", message="The node was low on resource: pids."),
            terminated(137),
            Cause.LOST,
        ),
        (pod(reason="Preempting", message="Preempted in order to admit"), terminated(), Cause.LOST),
        (pod(reason="NodeShutdown"), terminated(), Cause.LOST),
        (
            pod(conditions=[{**DISRUPTED, "reason": "PreemptionByScheduler"}], deleting=True),
            terminated(137),
            Cause.LOST,
        ),
        (
            pod(conditions=[{**DISRUPTED, "reason": "EvictionByEvictionAPI"}], deleting=True),
            terminated(0, "Completed"),
            Cause.LOST,
        ),
        (
            pod(
                conditions=[
                    {
                        **DISRUPTED,
                        "reason": "TerminationByKubelet",
                        "message": "The node was low on resource: memory.",
                    }
                ]
            ),
            terminated(137),
            Cause.CRASH,
        ),
        (
            pod(conditions=[{"type": "DisruptionTarget", "status": "False", "reason": "x"}]),
            terminated(137),
            Cause.CRASH,
        ),
    ],
)
def test_causes(of: dict[str, Any], end: dict[str, Any], cause: Cause) -> None:
    assert cause_of(of, end)[0] is cause


def test_the_errors_of_jobs_name_the_memory_limit() -> None:
    limits = {"name": "worker", "resources": {"limits": {"memory": "128Mi"}}}
    killed = pod({"terminated": terminated(reason="OOMKilled")})
    killed = {**killed, "spec": {"containers": [limits]}}
    (ended,) = container_exits(killed)
    assert ended.why == "OOMKilled, memory limit 128Mi"
    text = "killed by SIGKILL: the container ran out of memory (OOMKilled, memory limit 128Mi)"
    assert how_died(Release("w", ended.cause, ended.why)) == text
    assert how_died(Release("w", Cause.LOST, "preempted")) == ""
    error = "its container terminated (Error, exit code 139)"
    assert how_died(Release("w", Cause.CRASH, "Error, exit code 139")) == error


def test_containers_of_any_pod_that_ran_out_of_memory_are_shown_for_a_while() -> None:
    limits = {"resources": {"limits": {"memory": "64Mi"}}}
    killed = pod(running(31), terminated(reason="OOMKilled"), name="target")
    killed["spec"] = {"initContainers": [{"name": "target", **limits}]}
    text = (
        "container target of pod reports-worker-1 ran out of memory (OOMKilled, memory limit 64Mi)"
    )
    assert memory_kills([killed], T0 + 30 + KILL_SHOWN_SECONDS - 1) == (text,)
    assert memory_kills([killed], T0 + 30 + KILL_SHOWN_SECONDS) == ()
    assert memory_kills([pod(running(31), terminated())], T0 + 31) == ()
