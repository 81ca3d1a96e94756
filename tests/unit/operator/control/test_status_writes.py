"""Writing a status: once at a time for each endpoint, and not for one that was replaced."""

import asyncio
from dataclasses import replace

import pytest

from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.resource import API_VERSION, KIND
from asyncendpoints_core.store.replies import Stats
from asyncendpoints_operator.control.failures import Failures
from asyncendpoints_operator.control.redis_users import RedisUsers
from asyncendpoints_operator.control.status_report import RETRY_SECONDS, StatusReport
from asyncendpoints_operator.kube.cache import Cache
from asyncendpoints_operator.kube.client import Ref
from asyncendpoints_operator.kube.election import NotLeader
from asyncendpoints_operator.status.event_publisher import EventPublisher
from asyncendpoints_operator.status.events import Event
from asyncendpoints_operator.status.observed import Observed, Queue, QueueReason
from support.kube.fake_cluster import FakeCluster, Manifest
from support.resources import MINIMAL, merge

ENDPOINT = Ref(API_VERSION, KIND, "demo", "reports")
INVALID = Observed(generation=1, endpoint=None, faults=("spec.routes: missing",))


class SlowCluster(FakeCluster):
    """Writes a patch only when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_write = asyncio.Event()

    async def merge(self, ref: Ref, patch: Manifest, *, subresource: str = "") -> Manifest:
        await self.may_write.wait()
        return await super().merge(ref, patch, subresource=subresource)


@pytest.fixture
async def cluster() -> SlowCluster:
    made = SlowCluster()
    made.save(MINIMAL)
    return made


def status_report(cluster: FakeCluster, counts_seconds: float = 10.0) -> StatusReport:
    cache, failures = Cache(lambda _: None), Failures()
    users = RedisUsers(cluster, cache, failures, "here", acl=False)
    publisher = EventPublisher(cluster, "operator-1")
    return StatusReport(cluster, cache, counts_seconds, users, publisher, failures, {}, {}, {})


async def test_a_report_during_a_write_is_made_again_later(cluster: SlowCluster) -> None:
    one = status_report(cluster)
    writing = asyncio.create_task(one.write(cluster.endpoint(), INVALID))
    await asyncio.sleep(0)
    assert await one.write(cluster.endpoint(), INVALID) == RETRY_SECONDS
    cluster.may_write.set()
    assert await writing is None
    assert one.writes == 1
    assert await one.write(cluster.endpoint(), INVALID) is None
    assert one.writes == 1  # nothing has changed


async def test_the_status_of_a_resource_that_was_replaced_is_not_written(
    cluster: SlowCluster,
) -> None:
    one, before = status_report(cluster), cluster.endpoint()
    cluster.may_write.set()
    cluster.drop(ENDPOINT)
    cluster.save(MINIMAL)
    assert await one.write(before, INVALID) is None
    assert (one.writes, cluster.endpoint().get("status")) == (0, None)


async def test_one_that_no_longer_leads_writes_no_status_and_no_event() -> None:
    """Docs/rules.md K15: such as a leader that was stopped, and continues."""

    def guard() -> None:
        raise NotLeader("this operator no longer holds the lease")

    cluster = FakeCluster()
    cluster.save(MINIMAL)
    cluster.guard = guard
    one = status_report(cluster)
    with pytest.raises(NotLeader):
        await one.write(cluster.endpoint(), INVALID)
    assert (one.writes, cluster.endpoint().get("status")) == (0, None)
    EventPublisher(cluster, "operator-1").publish("demo/reports", "uid", [Event("Normal", "A", "")])
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})  # raises what they raise
    assert cluster.events == []


class OlderCrd(FakeCluster):
    """Prunes a field of the status that it does not know."""

    async def merge(self, ref: Ref, patch: Manifest, *, subresource: str = "") -> Manifest:
        patch["status"].pop("consoleSecrets", None)
        return await super().merge(ref, patch, subresource=subresource)


async def test_a_field_that_an_older_crd_prunes_is_not_written_for_ever() -> None:
    cluster = OlderCrd()
    cluster.save(MINIMAL)
    one = status_report(cluster)
    observed = replace(INVALID, console_secrets={"view": "uid-9"})
    for _ in range(3):
        assert await one.write(cluster.endpoint(), observed) is None
    assert one.writes == 1
    assert await one.write(cluster.endpoint(), replace(observed, generation=2)) is None
    assert one.writes == 2


async def test_a_change_is_published_once_in_a_while(cluster: SlowCluster) -> None:
    one = status_report(cluster)
    cluster.may_write.set()
    await one.write(cluster.endpoint(), INVALID)
    await cluster.until(lambda: cluster.events)
    (event,) = cluster.events
    assert (event["reason"], event["involvedObject"]["uid"]) == (
        "InvalidSpec",
        cluster.endpoint()["metadata"]["uid"],
    )
    assert event["reportingInstance"] == "operator-1"


async def test_counts_are_written_less_often_the_more_endpoints_change() -> None:
    cluster = FakeCluster()
    one = status_report(cluster, 1.0)

    def counted(queued: int) -> Observed:
        stats = Stats(now_ms=0, counts={State.QUEUED: queued}, by_name={}, totals={})
        queue = Queue(QueueReason.REACHABLE, stats=stats)
        return Observed(generation=1, endpoint=None, faults=(), queue=queue)

    async def rest(number: int) -> float:
        """Write the status of a new endpoint, and return the wait of its next counts (s)."""
        name = {"metadata": {"name": f"reports-{number}"}}
        cluster.save(merge(MINIMAL, name))
        ref = Ref(API_VERSION, KIND, "demo", f"reports-{number}")
        assert await one.write(cluster.objects[ref.path], counted(1)) is None
        again = await one.write(cluster.objects[ref.path], counted(2))
        assert again is not None
        return again

    assert await rest(0) <= 1
    longer = [await rest(number) for number in range(1, 400)]
    assert 4 < longer[-1] <= 8
