"""The servers of a Redis by its URL, and connections to the master that serves a key.

URL forms: redis:// rediss:// unix:// as redis-py has them; redis+cluster:// rediss+cluster:// with
`host:port,host:port`; redis+sentinel:// rediss+sentinel:// with `host:port,host:port/service/db`.
Messages never show the credentials of a URL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import unquote, urlsplit

from redis.asyncio import RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    ConnectionPool,
    SSLConnection,
    parse_url,
)
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff

from asyncendpoints_core.common.redaction import redact_url
from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.store.redis.sentinels import (
    MasterConnection,
    MasterTLSConnection,
    Sentinels,
)
from asyncendpoints_core.store.redis.single_flight import SingleFlight
from asyncendpoints_core.store.redis.urls import check_url

if TYPE_CHECKING:
    from collections.abc import Callable

    Source = str | Callable[[], str]

DEFAULT_PORT: Final = 6379


# redis-py neither retries nor limits anything: connection.py does.
_OPTIONS: Final[dict[str, Any]] = {
    "protocol": 2,
    "socket_timeout": None,
    "socket_connect_timeout": None,
    "health_check_interval": 0,
    "decode_responses": False,
    "driver_info": None,
}
LOOKUP_SECONDS: Final = 5.0
"""How long the look-up of a server may take, shared by the nodes that are tried."""
SENTINEL_SECONDS: Final = 4.0
"""How long each Sentinel may take: less than a connection, so that a failure names its causes."""


def _limits(servers: int) -> dict[str, float]:
    """Return the time limits of each of `servers` that are tried one after another."""
    each = LOOKUP_SECONDS / servers
    return {"socket_timeout": each, "socket_connect_timeout": each}


class Topology(Protocol):
    """Knows which server serves a key, and makes connections that are not connected yet."""

    clustered: bool

    async def open(self, key: str) -> tuple[str, AbstractConnection]:
        """Return the name of the key's server and a connection to it."""
        ...

    def connect_to(self, host: str, port: int) -> AbstractConnection:
        """Return a connection to one server of a cluster."""
        ...

    async def all_servers(self) -> list[AbstractConnection]:
        """Return a connection to each server of a cluster, replicas included."""
        ...

    async def refresh(self) -> None:
        """Look up the servers again before the next connection."""
        ...

    async def close(self) -> None:
        """Close what the look-up uses."""
        ...


class SingleServer:
    """One server, or a Sentinel's master: the pool's connections look it up themselves."""

    clustered = False

    def __init__(self, pool: ConnectionPool, sentinels: Sentinels | None = None) -> None:
        self._pool, self._sentinels = pool, sentinels

    async def open(self, key: str) -> tuple[str, AbstractConnection]:
        """Return a new connection."""
        return "", self._pool.make_connection()

    def connect_to(self, host: str, port: int) -> AbstractConnection:
        """Raise: only a cluster redirects to other servers."""
        raise ConnectionError(f"redirected to {host}:{port} by a server that is not in a cluster")

    async def all_servers(self) -> list[AbstractConnection]:
        """Return a connection to the one server."""
        return [self._pool.make_connection()]

    async def refresh(self) -> None:
        """Do nothing: every connection looks the server up."""

    async def close(self) -> None:
        """Close the connections to the Sentinels."""
        if self._sentinels is not None:
            await self._sentinels.close()


class Cluster:
    """A Redis Cluster: redis-py's client keeps the slot map."""

    clustered = True

    def __init__(self, nodes: list[tuple[str, int]], options: dict[str, Any]) -> None:
        self._nodes, self._options = nodes, options
        self._client: RedisCluster | None = None
        self._reading: SingleFlight[RedisCluster] = SingleFlight()

    async def open(self, key: str) -> tuple[str, AbstractConnection]:
        """Return a connection to the master of `key`."""
        client = await self._client_of_map()
        node = client.get_node_from_key(key)
        if node is None:
            await self.refresh()
            raise ConnectionError("no node of the cluster serves the endpoint's slot")
        return node.name, self.connect_to(node.host, int(node.port))

    async def all_servers(self) -> list[AbstractConnection]:
        """Return a connection to each master and replica."""
        client = await self._client_of_map()
        return [self.connect_to(node.host, int(node.port)) for node in client.get_nodes()]

    async def _client_of_map(self) -> RedisCluster:
        return self._client or await self._reading.run("map", self._read_map)

    async def _read_map(self) -> RedisCluster:
        client = RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in self._nodes],
            retry=Retry(NoBackoff(), 0),
            **{**self._options, **_limits(len(self._nodes))},
        )
        try:
            await client.initialize()
        except BaseException:
            await client.aclose()
            raise
        self._client = client
        return client

    def connect_to(self, host: str, port: int) -> AbstractConnection:
        """Return a connection to one server."""
        options = {**self._options, **_OPTIONS, "host": host, "port": port}
        kind = SSLConnection if options.pop("ssl", False) else Connection
        return kind(retry=Retry(NoBackoff(), 0), **options)

    async def refresh(self) -> None:
        """Drop the client, so that the next connection reads the slot map again."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def close(self) -> None:
        """Close the client that has the slot map."""
        await self._reading.close()
        await self.refresh()


def topology_of(url: str) -> Topology:
    """Return the topology of `url`. Raises UsageError for a URL that is not valid."""
    check_url(url)
    scheme = urlsplit(url).scheme
    try:
        if scheme.endswith("+cluster"):
            return Cluster(*_hosts(url))
        if scheme.endswith("+sentinel"):
            return _sentinel(url)
        return SingleServer(ConnectionPool.from_url(url, retry=Retry(NoBackoff(), 0), **_OPTIONS))
    except (ValueError, TypeError) as error:
        raise UsageError(f"the Redis URL {redact_url(url)} is not valid: {error}") from error


def _hosts(url: str) -> tuple[list[tuple[str, int]], dict[str, Any]]:
    """Return the hosts, and the options that redis-py reads from the rest of the URL."""
    parts = urlsplit(url)
    userinfo, at, hosts = parts.netloc.rpartition("@")
    addresses = []
    for address in hosts.split(","):
        one = urlsplit(f"//{address}")
        addresses.append((one.hostname or "", one.port or DEFAULT_PORT))
    plain = parts._replace(
        scheme=parts.scheme.partition("+")[0], netloc=f"{userinfo}{at}localhost", path=""
    )
    options = dict(parse_url(plain.geturl()))
    options.pop("host", None)
    connection = options.pop("connection_class", None)
    options.update(_OPTIONS)
    if connection is not None:
        options["ssl"] = True
    return addresses, options


def _sentinel(url: str) -> SingleServer:
    addresses, options = _hosts(url)
    service, _, db = unquote(urlsplit(url).path).strip("/").partition("/")
    guard = {
        name.removeprefix("sentinel_"): options.pop(name)
        for name in ("sentinel_username", "sentinel_password")
        if name in options
    }
    limits = {"socket_timeout": SENTINEL_SECONDS, "socket_connect_timeout": SENTINEL_SECONDS}
    common = {**_OPTIONS, **limits, "retry": Retry(NoBackoff(), 0)}
    options["connection_class"] = MasterConnection
    if options.pop("ssl", False):
        guard |= {name: options[name] for name in options if name.startswith("ssl_")}
        guard["ssl"] = True
        options["connection_class"] = MasterTLSConnection
    sentinel = Sentinels(addresses, {**common, **guard})
    options.update(db=int(db or 0), retry=Retry(NoBackoff(), 0))
    return SingleServer(SentinelConnectionPool(service, sentinel, **options), sentinel)
