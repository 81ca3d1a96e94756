"""Reports which endpoints of an installation, on one Redis, have changed jobs.

Scripts publish a message per change only while the endpoint's `watch` key exists
(`RedisStore.request_notifications`). One subscription serves all endpoints; on a Redis Cluster,
whose messages stay within shards, there is one per server (shards.py).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from redis import exceptions as redis_errors

from asyncendpoints_core.common.backoff import Backoff
from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.store.redis.health import has_sharded_channels
from asyncendpoints_core.store.redis.shards import Shards

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from redis.asyncio.connection import AbstractConnection

    from asyncendpoints_core.store.redis.connection import RedisConnection

PATTERN: Final = "aep:{*}:events"
RECONNECT_SECONDS: Final = (0.2, 5.0)
_START: Final = len("aep:{")
_END: Final = len("}:events")


async def listen(
    connection: RedisConnection,
    changed: Callable[[str], None],
    lost: Callable[[], None],
    names: Callable[[], Iterable[str]],
) -> None:
    """Call `changed` with the name of each endpoint that has changed, until cancelled.

    `names` returns the endpoints of interest; others may be reported too. `lost` is called when
    changes may have been missed: at the start and after each reconnection. Reconnects by itself.
    """
    backoff = Backoff(*RECONNECT_SECONDS)
    while True:
        own: AbstractConnection | None = None
        try:
            own = await connection.dedicated("aep:")
            if connection.clustered and await _has_shards(own):
                break
            await own.send_command("PSUBSCRIBE", PATTERN)
            await own.read_response(timeout=math.inf)
            lost()
            backoff.reset()
            while True:
                message = await own.read_response(timeout=math.inf)
                if message[0] == b"pmessage":
                    changed(message[2][_START:-_END].decode())
        except (redis_errors.RedisError, StoreError, OSError):
            await connection.time.sleep(backoff.next())
        finally:
            if own is not None:
                await own.disconnect(nowait=True)
    await Shards(connection, changed, lost, names).run()


async def _has_shards(connection: AbstractConnection) -> bool:
    await connection.send_command("INFO", "server")
    return has_sharded_channels(await connection.read_response())
