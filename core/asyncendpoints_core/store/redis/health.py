"""A server's durability and eviction policy, read from INFO: managed Redis seldom allows CONFIG."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_core.errors import StoreUnsupported
from asyncendpoints_core.store.redis.confirmation import Confirmation
from asyncendpoints_core.store.redis.error_replies import word_of
from asyncendpoints_core.store.replies import Health

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncendpoints_core.store.redis.caller import Caller

MINIMUM: Final = (6, 2)
SHARDED_SINCE: Final = (7, 0)


async def read_health(caller: Caller, *, strict: bool = False) -> Health:
    """Read the health of the endpoint's server. Raises StoreUnsupported if it is too old.

    `strict`: also raise it if the server does not persist, or does not permit INFO, and have writes
    confirmed.
    """
    replies = await caller.send(
        [("INFO", section) for section in ("server", "persistence", "memory", "replication")]
    )
    refused = next((reply for reply in replies if isinstance(reply, Exception)), None)
    if refused is not None and word_of(refused) != "NOPERM":
        raise caller.connection.store_error(refused) from refused
    info = _parse_info(replies)
    server, compatible = server_of(info)
    if compatible is None and strict:
        raise StoreUnsupported("durability is strict, but this Redis does not permit INFO")
    if compatible is None:
        return Health(
            server, None, None, ("the server does not permit INFO: its settings are unknown",)
        )
    if compatible < MINIMUM:
        raise StoreUnsupported(f"{server} is too old: Redis 6.2 or later, or Valkey, is needed")
    aof = info.get("aof_enabled")
    durable = aof == "1" if aof is not None else None
    if strict and durable is False:
        raise StoreUnsupported("durability is strict, but this Redis does not persist (AOF is off)")
    meta = f"{caller.prefix}meta"
    caller.confirmation = Confirmation(info, compatible, meta) if strict else None
    eviction = info.get("maxmemory_policy")
    return Health(
        server,
        durable,
        eviction,
        tuple(_warnings(info, durable, eviction)),
        sharded=compatible >= SHARDED_SINCE,
    )


def server_of(info: Mapping[str, str]) -> tuple[str, tuple[int, int] | None]:
    """Return a server's own name and version, `Valkey 8.1.8`, and the version of Redis (major,
    minor) that it is compatible with, None if INFO does not have it.
    """
    name = info.get("server_name", "redis")
    compatible = info.get("redis_version", "")
    version = info.get(f"{name}_version", compatible)
    numbers = re.match(r"(\d+)\.(\d+)", compatible)
    label = f"{name.capitalize()} {version}".rstrip()
    return label, (int(numbers[1]), int(numbers[2])) if numbers else None


def has_sharded_channels(reply: Any) -> bool:
    """Return whether a cluster has sharded channels, by its reply to `INFO server`: before Redis
    7.0 messages reach every server.
    """
    _, compatible = server_of(_parse_info([reply]))
    return compatible is None or compatible >= SHARDED_SINCE


def _parse_info(replies: list[Any]) -> dict[str, str]:
    info: dict[str, str] = {}
    for reply in replies:
        if isinstance(reply, bytes):
            lines = (line.partition(":") for line in reply.decode().splitlines())
            info.update((name, value) for name, colon, value in lines if colon)
    return info


def _warnings(info: dict[str, str], durable: bool | None, eviction: str | None) -> list[str]:
    warnings = []
    if durable is None or eviction is None:
        warnings.append("the server does not report all of its settings")
    if durable is False:
        warnings.append("AOF is off: jobs accepted since the last snapshot are lost in a crash")
    if eviction not in (None, "noeviction"):
        warnings.append(f"maxmemory-policy is {eviction}: Redis may evict jobs; use noeviction")
    if info.get("role") == "slave":
        warnings.append("this is a replica: it refuses every write")
    return warnings
