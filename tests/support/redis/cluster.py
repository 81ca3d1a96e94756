"""A real Redis Cluster of three masters, with replicas or without, and the moves of a slot."""

import time
from collections.abc import Callable
from typing import Any, Self

from redis import Redis
from redis.exceptions import RedisError

from support.lifetime import Lifetime
from support.redis.server import RedisServer

SLOTS = 16_384
MASTERS = 3
SETTLE_SECONDS = 30.0


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll until `condition` holds: for what another process reaches without telling us."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"still not: {what}")
        time.sleep(0.05)


class RedisCluster(Lifetime):
    """Three masters that share the slots; `url` names the first, clients find the others.

    With `replicas` three more nodes are replicas of one each.
    """

    def __init__(self, *, replicas: bool = False, **config: Any) -> None:
        options: dict[str, Any] = {
            "cluster_enabled": "yes",
            "cluster_node_timeout": 2000,
            "cluster_require_full_coverage": "yes",
        }
        count = 2 * MASTERS if replicas else MASTERS
        self.nodes = [RedisServer(**{**options, **config}) for _ in range(count)]
        self._clients: list[Redis] = []
        self._ids: list[str] = []

    @property
    def url(self) -> str:
        """The URL of the first node."""
        return self.nodes[0].url

    @property
    def urls(self) -> list[str]:
        """The URL of each node."""
        return [node.url for node in self.nodes]

    def start(self) -> Self:
        """Start the nodes, join them, and return when each sees the whole cluster as healthy."""
        for node in self.nodes:
            node.start()
        self._clients = [Redis.from_url(node.url, decode_responses=True) for node in self.nodes]
        for index, client in enumerate(self._clients):
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
            if index < MASTERS:
                first, last = index * SLOTS // MASTERS, (index + 1) * SLOTS // MASTERS
                client.execute_command("CLUSTER", "ADDSLOTS", *range(first, last))
            if index:
                meet = ("CLUSTER", "MEET", self.nodes[0].host, self.nodes[0].port)
                client.execute_command(*meet)
        self._ids = [str(client.execute_command("CLUSTER", "MYID")) for client in self._clients]
        wait_until(self._is_healthy, "a healthy cluster")
        for index, client in enumerate(self._clients[MASTERS:]):
            client.execute_command("CLUSTER", "REPLICATE", self._ids[index])
        self.wait_replicated()
        return self

    def _is_healthy(self) -> bool:
        for client in self._clients:
            info = client.cluster("INFO")
            known = info["cluster_known_nodes"], info["cluster_slots_ok"]
            if info["cluster_state"] != "ok" or known != (str(len(self.nodes)), str(SLOTS)):
                return False
        return True

    def wait_replicated(self) -> None:
        """Wait until the cluster is healthy, its nodes agree, and every replica has the data."""
        wait_until(self._is_replicated, "replicas with the data")

    def _is_replicated(self) -> bool:
        try:
            if not self._is_healthy() or len({str(self._masters(c)) for c in self._clients}) > 1:
                return False
            replication = [client.info("replication") for client in self._clients]
        except RedisError:  # a node that is not up, or loads its data
            return False
        linked = [each.get("master_link_status") for each in replication]
        return linked.count(None) == MASTERS and linked.count("up") == len(self.nodes) - MASTERS

    def _masters(self, client: Redis) -> dict[int, int]:
        """Return of each range of slots, by its first, the index of its master, as a node sees it.

        Raises RedisError.
        """
        ports = [node.port for node in self.nodes]
        slots: Any = client.execute_command("CLUSTER", "SLOTS")
        return {int(first): ports.index(int(master[1])) for first, _, master, *_ in slots}

    def masters(self) -> list[int]:
        """Return the indices of the masters."""
        return sorted(set(self._masters(self._clients[0]).values()))

    def replica_of(self, master: int) -> int:
        """Return the index of a master's replica."""
        replication: Any = self._clients[master].info("replication")
        return [node.port for node in self.nodes].index(int(replication["slave0"]["port"]))

    def failover(self, master: int) -> None:
        """Let a master's replica take over in order, without a loss."""
        replica = self.replica_of(master)
        wait_until(lambda: self._took_over(replica), "a failover")
        self.wait_replicated()

    def _took_over(self, replica: int) -> bool:
        """Request a failover and return whether it came: after 5 s the replica gives up."""
        self._clients[replica].execute_command("CLUSTER", "FAILOVER")
        end = time.monotonic() + 6
        while not (over := replica in self.masters()) and time.monotonic() < end:
            time.sleep(0.05)
        return over

    def wait_taken_over(self, replica: int) -> None:
        """Wait until a replica is a master, whose own is down."""
        client = self._clients[replica]
        wait_until(lambda: replica in self._masters(client).values(), "a failover")

    def slot_of(self, key: str) -> int:
        """Return the slot of `key`."""
        return int(self._clients[0].execute_command("CLUSTER", "KEYSLOT", key))

    def owner_of(self, slot: int) -> int:
        """Return the index of the node that serves `slot`, as the first node sees it."""
        for first, last, master, *_ in self._clients[0].execute_command("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return [node.port for node in self.nodes].index(int(master[1]))
        raise LookupError(f"nobody serves slot {slot}")

    def begin_migration(self, slot: int, target: int) -> None:
        """Open the move of `slot` to node `target`: from now on the owner answers ASK for keys
        that it does not hold (any longer)."""
        source = self.owner_of(slot)
        self._set_slot(target, slot, "IMPORTING", self._ids[source])
        self._set_slot(source, slot, "MIGRATING", self._ids[target])

    def move_some_keys(self, slot: int, target: int, count: int) -> None:
        """Move up to `count` keys of `slot` to node `target`."""
        source, to = self._clients[self.owner_of(slot)], self.nodes[target]
        keys = source.execute_command("CLUSTER", "GETKEYSINSLOT", slot, count)
        if keys:
            source.execute_command("MIGRATE", to.host, to.port, "", 0, 5000, "KEYS", *keys)

    def move_keys(self, slot: int, target: int) -> int:
        """Move every key of `slot` to node `target`; return how many there were."""
        source = self._clients[self.owner_of(slot)]
        to, moved = self.nodes[target], 0
        while keys := source.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.execute_command("MIGRATE", to.host, to.port, "", 0, 5000, "KEYS", *keys)
            moved += len(keys)
        return moved

    def finish_migration(self, slot: int, target: int) -> None:
        """Give `slot` to node `target`: the former owner answers MOVED."""
        order = [target, self.owner_of(slot), *self.masters()]
        for node in dict.fromkeys(order):
            self._set_slot(node, slot, "NODE", self._ids[target])

    def migrate(self, slot: int, target: int) -> int:
        """Move `slot` with its keys to node `target`; return the number of keys."""
        self.begin_migration(slot, target)
        moved = self.move_keys(slot, target)
        self.finish_migration(slot, target)
        return moved

    def _set_slot(self, node: int, slot: int, verb: str, node_id: str) -> None:
        self._clients[node].execute_command("CLUSTER", "SETSLOT", slot, verb, node_id)

    def flush(self) -> None:
        """Remove every key."""
        for client in self._clients:
            client.flushall()

    def close(self) -> None:
        """Kill the nodes and remove their data."""
        for client in self._clients:
            client.close()
        for node in self.nodes:
            node.close()
