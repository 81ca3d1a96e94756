"""A real master with a replica, watched by real Redis Sentinels."""

import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any, Self

from redis import Redis
from redis.exceptions import ResponseError

from support.lifetime import Lifetime
from support.ports import free_port
from support.redis.cluster import wait_until
from support.redis.server import RedisProcess, RedisServer

CONFIG = """\
port {port}
bind 127.0.0.1
dir {directory}
sentinel monitor {name} 127.0.0.1 {master} {quorum}
sentinel down-after-milliseconds {name} 1000
sentinel failover-timeout {name} 2000
"""


class SingleSentinel:
    """One Sentinel of a master that `quorum` of them may fail over; `config` has directives."""

    def __init__(self, master: int, name: str = "main", quorum: int = 1, **config: str) -> None:
        self.port, self.name = free_port(), name
        self.directory = Path(tempfile.mkdtemp(prefix="sentinel-"))
        # Sentinel keeps its state in its configuration file.
        path = self.directory / f"{self.port}.conf"
        text = CONFIG.format(
            port=self.port, directory=self.directory, name=name, master=master, quorum=quorum
        )
        path.write_text(text + "".join(f"{key} {value}\n" for key, value in config.items()))
        self._process = RedisProcess([str(path), "--sentinel"], self.directory, r"\+monitor master")
        if not self._process.wait_ready():
            raise RuntimeError(f"a Sentinel did not start:\n{self._process.log}")
        self.client = Redis(port=self.port, decode_responses=True)

    def state(self) -> dict[str, Any]:
        """Return what it knows of the master."""
        state: Any = self.client.sentinel_master(self.name)
        return dict(state)

    def monitor(self, port: int) -> None:
        """Watch another master under the same name."""
        self.client.sentinel_remove(self.name)
        self.client.sentinel_monitor(self.name, "127.0.0.1", port, 2)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send(number)

    def close(self) -> None:
        """Kill it and remove its data."""
        self.client.close()
        self._process.end(signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)


class RedisSentinel(Lifetime):
    """One master, one replica and `sentinels` (1 to 3) Sentinels that fail over within seconds.

    `config` has directives of the servers, as in RedisServer.
    """

    def __init__(self, sentinels: int = 1, service_name: str = "main", **config: Any) -> None:
        self.service_name = service_name
        # By default a master waits 5 s for more replicas before it sends the data.
        self.servers = [RedisServer(repl_diskless_sync_delay=0, **config) for _ in range(2)]
        self.addresses: list[tuple[str, int]] = []
        self._count = sentinels
        self._sentinels: list[SingleSentinel] = []
        self._clients: list[Redis] = []

    def start(self) -> Self:
        """Start all; return when every Sentinel knows the replica and the other Sentinels."""
        master, replica = (server.start() for server in self.servers)
        with Redis.from_url(replica.url) as client:
            client.replicaof(master.host, str(master.port))
        for _ in range(self._count):
            self._start_sentinel(master)
        wait_until(self._is_complete, "a complete set of Sentinels")
        return self

    def _start_sentinel(self, master: RedisServer) -> None:
        sentinel = SingleSentinel(master.port, self.service_name, self._count // 2 + 1)
        self._sentinels.append(sentinel)
        self.addresses.append(("127.0.0.1", sentinel.port))
        self._clients.append(sentinel.client)

    def _is_complete(self) -> bool:
        for client in self._clients:
            master: Any = client.sentinel_master(self.service_name)
            replicas: Any = client.sentinel_slaves(self.service_name)
            healthy = [r for r in replicas if r["master-link-status"] == "ok"]
            if master["num-other-sentinels"] != self._count - 1 or not healthy:
                return False
        return True

    @property
    def url(self) -> str:
        """The URL of the master, as the store takes it."""
        hosts = ",".join(f"{host}:{port}" for host, port in self.addresses)
        return f"redis+sentinel://{hosts}/{self.service_name}"

    @property
    def master(self) -> RedisServer:
        """The server that the first Sentinel calls the master now."""
        address: Any = self._clients[0].sentinel_get_master_addr_by_name(self.service_name)
        return next(server for server in self.servers if server.port == int(address[1]))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every Sentinel."""
        for sentinel in self._sentinels:
            sentinel.signal(number)

    def failover(self) -> RedisServer:
        """Let the replica take over in order; return the new master."""
        old = self.master
        wait_until(self._is_accepted, "a failover that Sentinel accepts")
        return self.wait_for_new_master(old)

    def _is_accepted(self) -> bool:
        """Request a failover; Sentinel refuses it while what it knows of the replica is old, and
        until it has ended the one before.
        """
        try:
            self._clients[0].execute_command("SENTINEL", "FAILOVER", self.service_name)
        except ResponseError as error:
            if "NOGOODSLAVE" in str(error) or "INPROG" in str(error):
                return False
            raise
        return True

    def wait_for_new_master(self, old: RedisServer) -> RedisServer:
        """Wait until another server than `old` is the master and accepts writes; return it."""
        wait_until(lambda: self.master is not old and self._is_writable(self.master), "a failover")
        return self.master

    def join(self, server: RedisServer) -> None:
        """Make a former master the replica of the present one, as Sentinel does after some
        seconds; return when it has the data.
        """
        master = self.master
        with Redis.from_url(server.url, decode_responses=True) as client:
            client.replicaof(master.host, str(master.port))
            wait_until(
                lambda: client.info("replication").get("master_link_status") == "up", "a replica"
            )
        wait_until(self._is_complete, "a replica that Sentinel knows")

    def _is_writable(self, server: RedisServer) -> bool:
        with Redis.from_url(server.url, decode_responses=True) as client:
            return bool(client.info("replication")["role"] == "master")

    def close(self) -> None:
        """Kill everything and remove the data."""
        for sentinel in self._sentinels:
            sentinel.close()
        for server in self.servers:
            server.close()
