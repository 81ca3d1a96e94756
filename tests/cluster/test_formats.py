"""A store whose format the workers cannot read: they exit with a message, shown in the status."""

from typing import Any

from asyncendpoints_core.store.record_layout import FORMAT_VERSION
from asyncendpoints_operator.kube.pod_state import VERSION_UNSUPPORTED
from support.kube.installed import Installed

ONE = {"minReplicas": 1, "maxReplicas": 3}


def unsupported(status: dict[str, Any]) -> dict[str, Any]:
    conditions = status.get("conditions", [])
    return next((one for one in conditions if one["type"] == VERSION_UNSUPPORTED), {})


def test_workers_that_refuse_the_format_are_named_until_none_is_left(installed: Installed) -> None:
    with (
        installed.cluster.namespace("formats") as place,
        installed.endpoint(place, "reports", autoscaling=ONE) as endpoint,
    ):
        endpoint.until_workers(1)
        (pod,) = endpoint.pods("worker")
        format_of = f"aep:{{{place}/reports}}:meta", "schema"
        present = installed.redis("HGET", *format_of)
        newer = str(FORMAT_VERSION + 1)
        installed.redis("HSET", *format_of, newer)
        status = endpoint.until("its workers refuse", lambda found: bool(unsupported(found)))
        found = unsupported(status)
        assert (found["status"], found["reason"]) == ("True", "OtherFormat")
        assert f"is of format {newer}, " in found["message"]
        assert f"reads formats up to {FORMAT_VERSION}" in found["message"]
        assert endpoint.condition("QueueReachable")["reason"] == "NewerFormat"
        assert VERSION_UNSUPPORTED in endpoint.events()
        installed.redis("HSET", *format_of, present)
        endpoint.until("they do not any more", lambda found: not unsupported(found), seconds=180)
        endpoint.until_ready(seconds=180)
        job = endpoint.finished(endpoint.submit(value="well"), seconds=180)
        assert (job["state"], job["attempt"]) == ("Completed", 1)
        (same,) = endpoint.pods("worker")
        assert same["metadata"]["uid"] == pod["metadata"]["uid"]
