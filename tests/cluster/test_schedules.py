"""A schedule on the cluster fires once a time, while the operator and the gateway are away."""

from datetime import datetime
from typing import Any

from support.kube.installed import OPERATOR, SYSTEM_NAMESPACE, Endpoint, Installed
from support.kube.provider.shell import wait_until
from support.kube.watching import kill_pod, scale

EVERY_MINUTE = {"name": "minutely", "cron": "* * * * *", "job": "run", "body": {"value": "due"}}


def test_a_time_fires_once_across_the_death_of_the_operator_and_of_a_gateway(
    installed: Installed, namespace: str
) -> None:
    with installed.endpoint(namespace, "timed", schedules=[EVERY_MINUTE]) as endpoint:
        scale(installed.cluster, SYSTEM_NAMESPACE, OPERATOR, 0)
        try:
            before = len(fired(endpoint))
            [gateway] = endpoint.pods("gateway")
            kill_pod(installed.cluster, namespace, gateway["metadata"]["name"])
            wait_until(
                "the next time to fire",
                lambda: len(fired(endpoint)) > before,
                seconds=120,
            )
        finally:
            scale(installed.cluster, SYSTEM_NAMESPACE, OPERATOR, 1)
        jobs = fired(endpoint)
        minutes = [minute_of(job) for job in jobs]
        assert len(set(minutes)) == len(minutes)
        # No worker runs without the operator: it starts one for what has waited.
        for job in jobs:
            assert endpoint.finished(job["id"])["state"] == "Completed"
            assert endpoint.result(job["id"])["value"] == "due"
        last = max(minutes).strftime("%Y-%m-%dT%H:%M:00")

        def shown(status: dict[str, Any]) -> bool:
            [schedule] = status.get("schedules") or [{}]
            return str(schedule.get("lastTime", "")) >= last

        endpoint.until("the last time in the status", shown, seconds=30)


def fired(endpoint: Endpoint) -> list[dict[str, Any]]:
    """The jobs that the schedule has created; none while the gateway cannot be asked."""
    try:
        return [job for job in endpoint.all_jobs() if job["schedule"] == EVERY_MINUTE["name"]]
    except (OSError, KeyError):
        return []


def minute_of(job: dict[str, Any]) -> datetime:
    """The time that created a job: a time is not made up for after the next one."""
    return datetime.fromisoformat(job["createdAt"]).replace(second=0, microsecond=0)
