"""One Redis: its connection, its directory of endpoints, and how it answers."""

import asyncio
from typing import Final

from asyncendpoints_core.store.redis import RedisConnection
from asyncendpoints_core.store.redis.ownership import Directory
from asyncendpoints_operator.queues.redis_locations import RedisLocation

DEADLINE_SECONDS: Final = 5.0


class PolledRedis:
    """What all queues on one Redis share; its poller alone writes `failures` and the rest.

    `failures` are those in a row; `connects` counts connections, since what answers now may not
    have the users made before; `refused`: the credentials were not accepted. `woken` is set to
    have due queues read at once.
    """

    def __init__(self, location: RedisLocation, installation: str) -> None:
        self.location = location
        self.connection = RedisConnection(location.source, reply_seconds=DEADLINE_SECONDS)
        self.directory = Directory(self.connection, installation)
        self.failures = 0
        self.connects = 0
        self.refused = False
        self.woken = asyncio.Event()

    @property
    def identity(self) -> str:
        """Its URL for people, without credentials."""
        return self.location.identity

    @property
    def own(self) -> bool:
        """Whether it is the operator's."""
        return self.location.own

    @property
    def up(self) -> bool:
        """Whether the last poll was answered."""
        return self.failures == 0
