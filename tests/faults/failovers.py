"""Redis behind Sentinel, and as a Cluster; faults in which a replica takes over.

Replication is asynchronous: what a replica had not received when it took over is lost. Each such
time is a `Gap` of the system, and only what happened in one may be lost.
"""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from faults.catalog import Fault, connected, register
from faults.system import Gap, Role, System
from support.redis.backend import ENDPOINT, RedisBackend
from support.redis.cluster import RedisCluster
from support.redis.sentinel import RedisSentinel
from support.redis.server import RedisServer

# Acknowledged writes that are under way to the replica when the master dies.
LAG_NS = 1_000_000_000
UNREQUESTED = "a failover of Sentinel's own"
AOF: dict[str, Any] = {"appendonly": True, "appendfsync": "always"}


@contextmanager
def gap(system: System, fault: str) -> Iterator[None]:
    """Note the time inside as one of which acknowledged writes may be lost."""
    begun = time.monotonic_ns() - LAG_NS
    yield
    system.gaps.append(Gap(fault, begun, time.monotonic_ns()))


def unrequested(seen: Sequence[Gap], gaps: Sequence[Gap]) -> list[Gap]:
    """Return those of `seen` during which no fault of the soak had a gap."""
    return [
        each
        for each in seen
        if not any(each.begun + LAG_NS <= gap.ended and each.ended >= gap.begun for gap in gaps)
    ]


class SentinelSystem(System):
    """A master and a replica that Sentinel promotes: when a fault has it do so, and by itself when
    the master does not answer for a second, as on a busy machine.
    """

    async def start_redis(self) -> None:
        """Start both and a Sentinel, and watch which is the master."""
        self.redis = RedisSentinel(**AOF)
        await asyncio.to_thread(self.redis.start)
        self._seen: list[Gap] = []
        self._watch = asyncio.create_task(self._note_failovers())

    async def _note_failovers(self) -> None:
        """Note each failover from before it until the former master accepts no writes."""
        master, begun = self.redis.master, time.monotonic_ns()
        while True:
            await asyncio.sleep(0.05)
            now, old = time.monotonic_ns(), master
            master = await asyncio.to_thread(lambda: self.redis.master)
            if master is not old:
                while await asyncio.to_thread(_accepts_writes, old):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                self._seen.append(Gap(UNREQUESTED, begun - LAG_NS, time.monotonic_ns()))
            begun = now

    async def url_for(self, role: Role) -> str:
        """Return the URL of the Sentinel."""
        return self.redis.url

    def backend(self) -> RedisBackend:
        """Return the present master's store."""
        return RedisBackend(self.redis.master.url)

    async def close_redis(self) -> None:
        """End both and the Sentinel."""
        self._watch.cancel()
        with suppress(asyncio.CancelledError):
            await self._watch
        self.gaps += unrequested(self._seen, self.gaps)
        await asyncio.to_thread(self.redis.close)


def _accepts_writes(server: RedisServer) -> bool:
    try:
        with connected(server.url) as client:
            return bool(client.info("replication")["role"] == "master")
    except RedisError:
        return False  # it is down; if it was stopped, its fault has a gap of its own


class StrictSystem(SentinelSystem):
    """The same with `durability: strict`: no job that was accepted may be lost."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, durability="strict")


class ClusterSystem(System):
    """Three masters with a replica each; all keys are in one slot."""

    async def start_redis(self) -> None:
        """Start the nodes."""
        self.redis = RedisCluster(replicas=True, **AOF)
        await asyncio.to_thread(self.redis.start)
        self.slot = self.redis.slot_of(f"{{{ENDPOINT}}}")

    async def url_for(self, role: Role) -> str:
        """Return a URL with every node."""
        return self.url

    @property
    def url(self) -> str:
        """The URL of the cluster."""
        hosts = ",".join(f"{node.host}:{node.port}" for node in self.redis.nodes)
        return f"redis+cluster://{hosts}"

    def backend(self) -> RedisBackend:
        """Return the store, and a connection to the node that has it."""
        return RedisBackend(self.redis.nodes[self.redis.owner_of(self.slot)].url, self.url)

    async def close_redis(self) -> None:
        """End the nodes."""
        await asyncio.to_thread(self.redis.close)


SENTINEL_FAULTS: dict[str, Fault[SentinelSystem]] = {}
CLUSTER_FAULTS: dict[str, Fault[ClusterSystem]] = {}
sentinel_fault, cluster_fault = register(SENTINEL_FAULTS), register(CLUSTER_FAULTS)


@sentinel_fault
async def failover_requested(system: SentinelSystem, chance: random.Random) -> None:
    """Have Sentinel promote the replica; the master goes on until Sentinel makes it a replica."""
    old = system.redis.master
    with gap(system, "failover_requested"):
        await asyncio.to_thread(system.redis.failover)
        await asyncio.to_thread(system.redis.join, old)


@sentinel_fault
async def master_killed(system: SentinelSystem, chance: random.Random) -> None:
    """SIGKILL the master; the replica takes over, and later the old master becomes a replica."""
    old = system.redis.master
    with gap(system, "master_killed"):
        await asyncio.to_thread(old.kill)
        await asyncio.to_thread(system.redis.wait_for_new_master, old)
    await asyncio.sleep(chance.uniform(0, 3))
    await asyncio.to_thread(old.start)
    await asyncio.to_thread(system.redis.join, old)


@sentinel_fault
async def master_stopped(system: SentinelSystem, chance: random.Random) -> None:
    """SIGSTOP the master until the replica has taken over: for a moment there are two masters."""
    old = system.redis.master
    with gap(system, "master_stopped"):
        old.pause()
        try:
            await asyncio.to_thread(system.redis.wait_for_new_master, old)
        finally:
            old.resume()
        await asyncio.sleep(chance.uniform(0, 2))
        await asyncio.to_thread(system.redis.join, old)


@sentinel_fault
async def replica_cut_off_and_promoted(system: SentinelSystem, chance: random.Random) -> None:
    """Cut the replica off from the master for up to 2 s, then SIGKILL the master."""
    old = system.redis.master
    replica = next(each for each in system.redis.servers if each is not old)

    def cut_off() -> None:
        with connected(replica.url) as client:
            client.config_set("masterauth", "wrong")
        with connected(old.url) as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "replica")

    def connect() -> None:
        with connected(replica.url) as client:
            client.config_set("masterauth", "")

    with gap(system, "replica_cut_off_and_promoted"):
        await asyncio.to_thread(cut_off)
        await asyncio.sleep(chance.uniform(0.5, 2))
        await asyncio.to_thread(old.kill)
        await asyncio.to_thread(system.redis.wait_for_new_master, old)
        await asyncio.to_thread(connect)
    await asyncio.to_thread(old.start)
    await asyncio.to_thread(system.redis.join, old)


@sentinel_fault
async def replica_killed(system: SentinelSystem, chance: random.Random) -> None:
    """SIGKILL the replica, and start it again."""
    replica = next(each for each in system.redis.servers if each is not system.redis.master)
    await asyncio.to_thread(replica.kill)
    await asyncio.sleep(chance.uniform(0, 3))
    await asyncio.to_thread(replica.start)
    await asyncio.to_thread(system.redis.join, replica)


@sentinel_fault
async def gateway_started_without_replica(system: SentinelSystem, chance: random.Random) -> None:
    """SIGKILL the replica and a gateway, and start the gateway first: it must find the replica."""
    replica = next(each for each in system.redis.servers if each is not system.redis.master)
    gateway = chance.choice(system.gateways)
    await asyncio.to_thread(replica.kill)
    gateway.kill()
    await gateway.start()
    await gateway.listens()
    await asyncio.to_thread(replica.start)
    await asyncio.to_thread(system.redis.join, replica)


@cluster_fault
async def slot_migrated(system: ClusterSystem, chance: random.Random) -> None:
    """Move the slot of all keys to another master, slowly."""
    redis, slot = system.redis, system.slot
    others = [node for node in redis.masters() if node != redis.owner_of(slot)]
    target = chance.choice(others)
    await asyncio.to_thread(redis.begin_migration, slot, target)
    await asyncio.sleep(chance.uniform(0, 0.5))
    await asyncio.to_thread(redis.move_some_keys, slot, target, chance.randint(1, 10))
    await asyncio.sleep(chance.uniform(0, 1.5))
    await asyncio.to_thread(redis.move_keys, slot, target)
    await asyncio.sleep(chance.uniform(0, 0.5))
    await asyncio.to_thread(redis.move_keys, slot, target)  # made meanwhile
    await asyncio.to_thread(redis.finish_migration, slot, target)
    await asyncio.to_thread(redis.wait_replicated)


@cluster_fault
async def cluster_failover_requested(system: ClusterSystem, chance: random.Random) -> None:
    """Have the replica of the slot's master take over in order, which loses nothing."""
    await asyncio.to_thread(system.redis.failover, system.redis.owner_of(system.slot))


@cluster_fault
async def cluster_master_killed(system: ClusterSystem, chance: random.Random) -> None:
    """SIGKILL the slot's master; its replica is elected, and it comes back as a replica."""
    redis = system.redis
    master = redis.owner_of(system.slot)
    replica = redis.replica_of(master)
    with gap(system, "cluster_master_killed"):
        await asyncio.to_thread(redis.nodes[master].kill)
        await asyncio.to_thread(redis.wait_taken_over, replica)
    await asyncio.sleep(chance.uniform(0, 2))
    await asyncio.to_thread(redis.nodes[master].start)
    await asyncio.to_thread(redis.wait_replicated)
