"""Leader election on a real API server: one leads, the next takes over, no stale leader writes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from asyncendpoints_operator.kube.client import Cluster as Api
from asyncendpoints_operator.kube.client import connect
from asyncendpoints_operator.kube.election import Leadership, LeaseTimes, NotLeader
from support.kube.provider.client import Cluster

TIMES = LeaseTimes(duration=3.0, deadline=2.0, period=0.5, call=1.0)


@asynccontextmanager
async def replica(cluster: Cluster, namespace: str, name: str) -> AsyncIterator["Replica"]:
    api = await connect(str(cluster.kubeconfig))
    one = Replica(api, namespace, name)
    try:
        yield one
    finally:
        await one.stop()
        await api.close()


class Replica:
    """A candidate: `leads` is set while its work runs."""

    def __init__(self, api: Api, namespace: str, name: str) -> None:
        self.lease = Leadership(
            api.api, namespace=namespace, name="lead", identity=name, times=TIMES
        )
        self.leads, self.follows = asyncio.Event(), asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def work(self) -> None:
        self.leads.set()
        self.follows.clear()
        try:
            await asyncio.Event().wait()
        finally:
            self.leads.clear()
            self.follows.set()

    def start(self) -> None:
        self.task = asyncio.create_task(self.lease.run(self.work))

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.task
            self.task = None


async def test_one_leads_and_gives_the_lease_back_on_exit(cluster: Cluster, namespace: str) -> None:
    async with replica(cluster, namespace, "a") as a, replica(cluster, namespace, "b") as b:
        a.start()
        await a.leads.wait()
        b.start()
        first = a.lease.check()
        with pytest.raises(NotLeader):
            b.lease.check()
        await a.stop()
        async with asyncio.timeout(10):
            await b.leads.wait()
        assert b.lease.check() == first + 1
        with pytest.raises(NotLeader):
            a.lease.check()
        holder = cluster.get("lease", "lead", "--namespace", namespace)["spec"]["holderIdentity"]
        assert holder == "b"


async def test_a_silent_leader_stops_by_itself_before_another_leads(
    cluster: Cluster, namespace: str
) -> None:
    async with replica(cluster, namespace, "a") as a, replica(cluster, namespace, "b") as b:
        a.start()
        await a.leads.wait()

        async def unreachable() -> bool:
            raise OSError("the API server does not answer")

        a.lease._acquire = unreachable  # type: ignore[method-assign]
        b.start()
        async with asyncio.timeout(30):
            await a.follows.wait()
            assert not b.leads.is_set()
            await b.leads.wait()
        assert not a.lease.leading


async def test_a_leader_that_was_stopped_and_woken_writes_nothing(
    cluster: Cluster, namespace: str
) -> None:
    async with replica(cluster, namespace, "a") as a, replica(cluster, namespace, "b") as b:
        a.start()
        await a.leads.wait()
        epoch = a.lease.check()
        assert a.lease._renewed is not None
        a.lease._renewed -= 60  # as after a suspension of a minute
        with pytest.raises(NotLeader):
            a.lease.check()
        await a.stop()
        b.start()
        async with asyncio.timeout(30):
            await b.leads.wait()
        assert b.lease.check() > epoch
