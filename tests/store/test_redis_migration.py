"""A slot under way between nodes, half of its keys moved: each verb works or changes nothing."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis import Redis

from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.store.redis import RedisStore
from support.redis_cluster import RedisCluster
from support.verbs import VERBS, Scene

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
        found: dict[bytes, bytes] = {}
        for number in (self.source, self.target):
            with Redis.from_url(self.cluster.nodes[number].url) as client:
                names: Any = client.execute_command("CLUSTER", "GETKEYSINSLOT", self.slot, 1000)
                for name in names:
                    client.execute_command("ASKING")
                    found[name] = client.dump(name) or b""
        return found


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
