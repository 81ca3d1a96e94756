"""An endpoint on its owner's Redis: moved there and back, and its password changed."""

from collections.abc import Iterator

import pytest

from support.kube.installed import Endpoint, Installed
from support.kube.own_redis import OwnRedis, bring_secrets, let_the_operator_read
from support.kube.provider.shell import wait_until
from support.kube.watching import Load, outcomes, starts, until_ended

THERE = {"secretRef": {"name": "redis"}}


@pytest.fixture(scope="module")
def own(installed: Installed) -> Iterator[OwnRedis]:
    """A Redis in its own namespace, whose Secrets the operator may read."""
    with installed.cluster.namespace("own") as place:
        let_the_operator_read(installed.cluster, place)
        own = OwnRedis(installed.cluster, place, installed.redis_image)
        own.start()
        yield own


def move(endpoint: Endpoint, redis: dict[str, object], identity: str) -> None:
    """Change spec.redis, and wait until no pods use the old one."""
    before = {uid for uid, _ in starts(endpoint)}
    endpoint.patch({"redis": redis})
    endpoint.until("the move", lambda status: status.get("queue") == identity)

    def moved() -> bool:
        return before.isdisjoint(pod["metadata"]["uid"] for pod in endpoint.pods("gateway"))

    endpoint.until_ready()
    wait_until("the old gateways to be gone", moved, seconds=90)


def test_a_queue_is_left_on_confirmation_and_found_again(
    installed: Installed, own: OwnRedis
) -> None:
    with installed.endpoint(own.namespace, "mover", suspend=True) as endpoint:
        first = endpoint.submit(value="first")
        queue, pods = endpoint.status["queue"], starts(endpoint)
        endpoint.patch({"redis": THERE})

        def held(_: object) -> bool:
            found = endpoint.condition("QueueReachable")
            return (found.get("status"), found.get("reason")) == ("False", "QueueMoved")

        endpoint.until("QueueMoved", held)
        # Not applied: its pods still use the Redis with the jobs, and accept more.
        second = endpoint.submit(value="second")
        assert starts(endpoint) == pods
        assert queue in endpoint.condition("QueueReachable")["message"]

        move(endpoint, {**THERE, "leaveQueue": queue}, own.identity)
        endpoint.patch({"suspend": None})
        there = endpoint.submit(value="there")
        assert endpoint.finished(there)["state"] == "Completed"
        assert endpoint.request("GET", f"/jobs/{first}").status == 404
        assert own.cli("EXISTS", f"aep:{{{own.namespace}/mover}}:jobs") == "1"

        move(endpoint, {"secretRef": None, "leaveQueue": own.identity}, queue)
        assert outcomes(until_ended(endpoint, [first, second])) == {("Completed", 1)}
        assert endpoint.request("GET", f"/jobs/{there}").status == 404


def test_a_password_changed_under_load_restarts_and_loses_nothing(
    installed: Installed, own: OwnRedis
) -> None:
    stays = {"minReplicas": 1, "maxReplicas": 1}
    with installed.endpoint(own.namespace, "turned", redis=THERE, autoscaling=stays) as endpoint:
        endpoint.until_workers(1)
        pods = starts(endpoint)
        with Load(endpoint, seconds=0.1) as load:
            load.until_more(20)
            own.rotate("another")
            bring_secrets(installed.cluster, own.namespace, "asyncendpoints.io/endpoint=turned")
            load.until_more(20)
        assert outcomes(until_ended(endpoint, load.accepted)) == {("Completed", 1)}
        assert set(load.answers) <= {202, 503}
        assert starts(endpoint) == pods
        endpoint.until("all are counted", lambda s: s["jobs"]["completed"] == len(load.accepted))
