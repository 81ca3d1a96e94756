"""The leader records what it reads and decides as the endpoint's figures."""

import asyncio
from collections.abc import Callable

from asyncendpoints_core.store.figures import Figures
from asyncendpoints_core.store.redis import RedisStore
from support.kube.fake_cluster import FakeCluster
from support.kube.leading import leading, reason, replicas, resource
from support.queues import new_job


async def read_until(store: RedisStore, holds: Callable[[Figures], object]) -> Figures:
    """Return the figures of 10 s once they are so."""
    async with asyncio.timeout(60):
        while not holds(found := await store.read_figures(10)):  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.1)
    return found


async def test_readings_and_scaling_steps_become_figures(redis_url: str, store: RedisStore) -> None:
    cluster = FakeCluster()
    cluster.save(resource(redis_url, autoscaling={"maxReplicas": 6}))
    async with leading(cluster):
        await cluster.until(lambda: reason(cluster, "ScalingActive") == "Steady")
        assert (await store.read_figures(10)).scaling is None  # nothing was ever done here
        await store.enqueue([new_job() for _ in range(200)])
        await cluster.until(lambda: replicas(cluster))
        found = await read_until(store, lambda figures: figures.points and figures.steps)
    [step] = found.steps
    assert (step.before, step.after, step.reason) == (0, 1, "ScaledUp")
    assert "200 queued" in step.text
    assert found.scaling is not None
    assert found.scaling.target == 1
    newest = found.points[-1]
    assert (newest.jobs[:3], newest.demand, newest.starts) == ((200, 0, 0), 200, 0)
    assert (newest.wanted, newest.workers, newest.wait_p50_ms) == (1, 0, None)
