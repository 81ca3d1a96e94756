"""A slot under way between nodes, half of its keys moved: each verb works or changes nothing."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from redis import Redis

from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_core.store.replies import Cause
from support.redis.cluster import RedisCluster
from support.store.stores import ERROR, hand, new, policy, put
from support.store.verbs import VERBS, Scene

ENDPOINT = "tests/reports"
PREFIX = f"aep:{{{ENDPOINT}}}:"


class Move:
    """The endpoint's slot, on its way to another node."""

    def __init__(self, cluster: RedisCluster) -> None:
        self.cluster = cluster
        self.slot = cluster.slot_of(f"{{{ENDPOINT}}}")
        self.source = cluster.owner_of(self.slot)
        self.target = (self.source + 1) % 3

    def half(self, seed: int) -> int:
        """Begin, and move a random half of the keys; return how many stayed."""
        self.cluster.begin_migration(self.slot, self.target)
        to = self.cluster.nodes[self.target]
        with Redis.from_url(self.cluster.nodes[self.source].url) as client:
            names = sorted(client.execute_command("CLUSTER", "GETKEYSINSLOT", self.slot, 1000))
            moving = random.Random(seed).sample(names, len(names) // 2)
            client.execute_command("MIGRATE", to.host, to.port, "", 0, 5000, "KEYS", *moving)
        return len(names) - len(moving)

    def finish(self) -> None:
        """Move the rest."""
        self.cluster.move_keys(self.slot, self.target)
        self.cluster.finish_migration(self.slot, self.target)

    def keys(self) -> dict[bytes, bytes]:
        """Return every key of the endpoint on either node, as DUMP writes it."""
        return {name: client.dump(name) or b"" for client, name in self._each()}

    def timers(self) -> list[bool]:
        """Tell of each of them whether it will end by itself."""
        return [client.pttl(name) != -1 for client, name in self._each()]

    def _each(self) -> Iterator[tuple[Redis, bytes]]:
        for number in (self.source, self.target):
            with Redis.from_url(self.cluster.nodes[number].url) as client:
                names: Any = client.execute_command("CLUSTER", "GETKEYSINSLOT", self.slot, 1000)
                for name in names:
                    client.execute_command("ASKING")
                    yield client, name


@pytest.fixture
async def scene(redis_cluster: RedisCluster) -> AsyncIterator[Scene]:
    """A store on a cluster with a job in every state."""
    hosts = ",".join(f"{node.host}:{node.port}" for node in redis_cluster.nodes)
    store = RedisStore(f"redis+cluster://{hosts}", ENDPOINT)
    await store.open()
    made = Scene(store)
    await made.build()
    yield made
    await store.close()


@pytest.mark.parametrize("verb", VERBS)
async def test_a_verb_works_or_changes_nothing(
    redis_cluster: RedisCluster, scene: Scene, verb: str
) -> None:
    move = Move(redis_cluster)
    assert await asyncio.to_thread(move.half, len(verb)) > 3
    before = await asyncio.to_thread(move.keys)
    try:
        await VERBS[verb](scene)
    except StoreUnavailable:
        assert await asyncio.to_thread(move.keys) == before
    finally:
        await asyncio.to_thread(move.finish)
    await VERBS[verb](scene)
    await scene.store.stats()


# What puts keys on the safety timer, or takes them off it, or makes new ones while they are on it.
AT_REST: dict[str, Callable[[RedisStore, JobId], Awaitable[Any]]] = {
    "enqueue": lambda store, _: store.enqueue([new()]),
    "redrive": lambda store, job_id: store.redrive([job_id]),
    "sweep": lambda store, _: store.sweep(),
    "configure": lambda store, _: store.configure(policy(failed_ms=60 * 86_400_000)),
    "reopen_queue": lambda store, _: store.reopen_queue(),
    "release_worker": lambda store, _: store.release_worker("w1", Cause.DRAINED),
    "register": lambda store, _: hand(store, "w2"),
    "delete": lambda store, job_id: store.delete([job_id]),
}


@pytest.mark.parametrize("verb", AT_REST)
async def test_all_keys_are_on_the_safety_timer_or_none(
    redis_cluster: RedisCluster, verb: str
) -> None:
    hosts = ",".join(f"{node.host}:{node.port}" for node in redis_cluster.nodes)
    store = RedisStore(f"redis+cluster://{hosts}", ENDPOINT)
    await store.open()
    worker = await hand(store)
    [job_id] = await put(store, new())
    await store.settle([jobs.fail((await worker.one()).claim, ERROR)])
    await store.release_worker("w1", Cause.DRAINED)
    move = Move(redis_cluster)
    assert set(await asyncio.to_thread(move.timers)) == {True}
    assert await asyncio.to_thread(move.half, len(verb)) > 3
    before = await asyncio.to_thread(move.keys)
    try:
        await AT_REST[verb](store, job_id)
    except StoreUnavailable:
        assert await asyncio.to_thread(move.keys) == before
        assert set(await asyncio.to_thread(move.timers)) == {True}
    finally:
        await asyncio.to_thread(move.finish)
    await AT_REST[verb](store, job_id)
    timers = set(await asyncio.to_thread(move.timers))
    assert timers == {verb not in ("enqueue", "redrive")}
    await store.close()
