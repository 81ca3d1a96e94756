"""One Redis that keeps every acknowledged write, with a proxy before it for each process."""

import asyncio
import random
from pathlib import Path

from faults.system import Role, System
from support.clock import Clock
from support.redis.backend import RedisBackend
from support.redis.proxy import ReplyDroppingProxy
from support.redis.server import RedisServer

# Debian's Redis does not start under libfaketime: its jemalloc reads the clock too early.
SERVER = "redis-8.2"


class SingleSystem(System):
    """A system whose network, and the clock of whose Redis, can fail too."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.proxies: dict[Role, ReplyDroppingProxy] = {}

    async def start_redis(self) -> None:
        """Start Redis."""
        self.redis_clock = Clock(self.folder)
        self.redis = RedisServer(
            appendonly=True,
            appendfsync="always",
            server=SERVER,
            environment=self.redis_clock.environment,
        )
        await asyncio.to_thread(self.redis.start)

    async def url_for(self, role: Role) -> str:
        """Start a proxy for the process, and return its URL."""
        proxy = self.proxies[role] = ReplyDroppingProxy(self.redis.host, self.redis.port)
        await proxy.start()
        return proxy.url

    def any_proxy(self, chance: random.Random) -> ReplyDroppingProxy:
        """Choose the proxy of a process."""
        return self.proxies[chance.choice(self.roles)]

    def backend(self) -> RedisBackend:
        """Return the store."""
        return RedisBackend(self.redis.url)

    async def close_redis(self) -> None:
        """End Redis and the proxies."""
        for proxy in self.proxies.values():
            await proxy.close()
        self.redis.close()
