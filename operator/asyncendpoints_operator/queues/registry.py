"""The endpoints' queues: which endpoint is on which Redis, with one connection to each Redis."""

from collections.abc import Callable

from asyncendpoints_core.jobs.policy import WEBHOOK_PENDING
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.recovery import Recovered
from asyncendpoints_operator.queues.polled_redis import PolledRedis
from asyncendpoints_operator.queues.queue_connection import QueueConnection, Reading
from asyncendpoints_operator.queues.redis_locations import RedisLocation
from asyncendpoints_operator.queues.redis_poller import RedisPoller


class Queues:
    """Every connected queue by its endpoint's key, and the Redis servers by their locations."""

    def __init__(
        self,
        installation: str,
        on_reading: Callable[[QueueConnection, Reading], None],
        on_recovered: Callable[[str, Recovered], None],
        idle_seconds: float,
        webhook_pending: int = WEBHOOK_PENDING,
    ) -> None:
        self.pollers: dict[str, RedisPoller] = {}
        self._connections: dict[str, QueueConnection] = {}
        self._installation = installation
        self._on_reading = on_reading
        self._on_recovered = on_recovered
        self._idle_seconds = idle_seconds
        self._webhook_pending = webhook_pending

    async def connect(self, endpoint: AsyncEndpoint, location: RedisLocation) -> QueueConnection:
        """Return the endpoint's connection to a Redis, the present one if it is still right."""
        present = self._connections.get(endpoint.key)
        if present is not None:
            same_redis = present.redis.location.name == location.name
            if same_redis and present.identity.uid == endpoint.metadata.uid:
                if present.endpoint is not endpoint:
                    present.endpoint = endpoint
                    present.wake()
                return present
            await self.disconnect(endpoint.key)
        poller = self.poll(location)
        made = QueueConnection(
            endpoint,
            poller.redis,
            self._installation,
            lambda recovered: self._on_recovered(endpoint.key, recovered),
            self._webhook_pending,
        )
        self._connections[endpoint.key] = poller.queues[endpoint.key] = made
        made.wake()
        return made

    def poll(self, location: RedisLocation) -> RedisPoller:
        """Return the poller of a location, started if there is none."""
        poller = self.pollers.get(location.name)
        if poller is None:
            redis = PolledRedis(location, self._installation)
            poller = RedisPoller(redis, self._on_reading, self._idle_seconds)
            self.pollers[location.name] = poller
        return poller

    async def disconnect(self, key: str) -> None:
        """Close an endpoint's connection, if it has one.

        Its Redis is polled until its directory is empty, or its credentials are refused: then the
        Secret has changed, and another location stands for the same server.
        """
        connection = self._connections.pop(key, None)
        if connection is None:
            return
        poller = self.pollers.get(connection.redis.location.name)
        if poller is not None:
            poller.queues.pop(key, None)
        await connection.close()
        if poller is not None and poller.redis.refused and poller.unused:
            await self.drop(poller)

    async def drop(self, poller: RedisPoller) -> None:
        """Close a Redis that no endpoint uses."""
        self.pollers.pop(poller.redis.location.name, None)
        await poller.close()

    async def close(self) -> None:
        """Close everything."""
        pollers, self.pollers = list(self.pollers.values()), {}
        self._connections = {}
        for poller in pollers:
            await poller.close()
