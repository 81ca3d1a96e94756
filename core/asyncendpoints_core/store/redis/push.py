"""One subscription for all endpoints of a Redis: says which of them something happened to.

Only those are told of whose `watch` flag is set (`RedisStore.call_for_push`): each change of a job
there is a message. On a Redis Cluster messages stay within shards, so there is no such thing.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

from redis import exceptions as redis_errors

from asyncendpoints_core.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio.connection import AbstractConnection

    from asyncendpoints_core.store.redis.connection import RedisConnection

PATTERN: Final = "aep:{*}:events"
_FIRST_SECONDS: Final = 0.2
_MAX_SECONDS: Final = 5.0
_START: Final = len("aep:{")
_END: Final = len("}:events")


async def listen(
    connection: RedisConnection, told: Callable[[str], None], lost: Callable[[], None]
) -> None:
    """Call `told` with the name of each endpoint that something happened to, until cancelled.

    `lost` is called whenever something may have been missed: at the beginning, and after each
    reconnection. Connects again by itself.
    """
    delay = _FIRST_SECONDS
    while True:
        own: AbstractConnection | None = None
        try:
            own = await connection.dedicated("aep:")
            if connection.clustered:
                return
            await own.send_command("PSUBSCRIBE", PATTERN)
            await own.read_response(timeout=math.inf)
            lost()
            delay = _FIRST_SECONDS
            while True:
                message = await own.read_response(timeout=math.inf)
                if message[0] == b"pmessage":
                    told(message[2][_START:-_END].decode())
        except (redis_errors.RedisError, StoreError, OSError):
            await asyncio.sleep(delay)
            delay = min(_MAX_SECONDS, delay * 2)
        finally:
            if own is not None:
                await own.disconnect(nowait=True)
