"""The endpoints' queues: which endpoint is on which Redis, each of them connected to once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncendpoints_core.store.protocol import Identity
from asyncendpoints_core.store.recovery import Keeper
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_operator.queues.redis_poller import Link, Server

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncendpoints_core.resource import AsyncEndpoint
    from asyncendpoints_core.store.recovery import Recovered
    from asyncendpoints_operator.queues.redis_locations import Place
    from asyncendpoints_operator.queues.redis_poller import Reading


class Queues:
    """The Redis servers in use, by the names of their places."""

    def __init__(
        self,
        installation: str,
        seen: Callable[[Link, Reading], None],
        recovered: Callable[[str, Recovered], None],
        random: Callable[[], float],
        idle_seconds: float,
    ) -> None:
        self.servers: dict[str, Server] = {}
        self._installation = installation
        self._seen = seen
        self._recovered = recovered
        self._random = random
        self._idle_seconds = idle_seconds

    async def link(self, endpoint: AsyncEndpoint, place: Place, old: Link | None) -> Link:
        """Return the link of an endpoint to a Redis, the one it has if that is still right."""
        if old is not None:
            same = old.server.place.name == place.name
            if same and old.identity.uid == endpoint.metadata.uid:
                if old.endpoint is not endpoint:
                    old.endpoint = endpoint
                    old.server.wake(endpoint.key)
                return old
            await self.unlink(old)
        server = self.use(place)
        store = RedisStore(server.connection, endpoint.key)
        link: Link
        link = Link(
            key=endpoint.key,
            endpoint=endpoint,
            server=server,
            store=store,
            identity=Identity(self._installation, endpoint.metadata.uid),
            keeper=Keeper(
                store,
                lambda: link.policy,
                self._random,
                lambda done: self._recovered(endpoint.key, done),
            ),
        )
        server.links[endpoint.key] = link
        server.wake(endpoint.key)
        return link

    def use(self, place: Place) -> Server:
        """Return the server at a place, connected to from now on."""
        server = self.servers.get(place.name)
        if server is None:
            server = self.servers[place.name] = Server(
                place, self._installation, self._seen, self._idle_seconds
            )
        return server

    async def unlink(self, link: Link) -> None:
        """Let go of an endpoint's queue.

        Its Redis stays until its directory is empty, or nothing can be read there: its Secret has
        changed, and another server stands for it.
        """
        server = link.server
        server.links.pop(link.key, None)
        await link.store.close()
        if server.refused and not server.links and not server.place.own:
            await self.drop(server)

    async def drop(self, server: Server) -> None:
        """Let go of a Redis that nothing is on any more."""
        self.servers.pop(server.place.name, None)
        await server.close()

    async def close(self) -> None:
        """Let go of everything."""
        servers, self.servers = list(self.servers.values()), {}
        for server in servers:
            await server.close()
