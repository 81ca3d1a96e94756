"""What a server promises, read from INFO alone: managed Redis seldom allows CONFIG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_core.errors import StoreUnsupported
from asyncendpoints_core.store.redis.error_replies import word_of
from asyncendpoints_core.store.replies import Health

if TYPE_CHECKING:
    from asyncendpoints_core.store.redis.caller import Caller

MINIMUM: Final = (6, 2)
WAITAOF_SINCE: Final = (7, 2)
CONFIRM_MS: Final = 2_000


async def read_health(caller: Caller, *, strict: bool = False) -> Health:
    """Ask the server of the endpoint's keys. Raises StoreError for one that is too old.

    `strict`: refuse one that keeps nothing on disk, and choose how an acceptance is confirmed: by
    the disk, else by a replica, where there is one.
    """
    replies = await caller.send(
        [("INFO", section) for section in ("server", "persistence", "memory", "replication")]
    )
    refused = next((reply for reply in replies if isinstance(reply, Exception)), None)
    if refused is not None and word_of(refused) != "NOPERM":
        raise caller.connection.store_error(refused) from refused
    facts = _facts(replies)
    version = facts.get("redis_version", "")
    if not version:
        return Health("", None, None, ("the server does not tell its settings (INFO is refused)",))
    parts = tuple(int(part) for part in version.split(".")[:2])
    if parts < MINIMUM:
        raise StoreUnsupported(f"Redis {version} is too old: 6.2 or later is needed")
    aof = facts.get("aof_enabled")
    durable = aof == "1" if aof is not None else None
    if strict and durable is False:
        raise StoreUnsupported(
            "durability is strict, and this Redis keeps nothing on disk (AOF is off)"
        )
    caller.confirmation = _confirmation(facts, parts) if strict else ()
    eviction = facts.get("maxmemory_policy")
    return Health(version, durable, eviction, tuple(_warnings(facts, durable, eviction)))


def _confirmation(facts: dict[str, str], version: tuple[int, ...]) -> tuple[str, ...]:
    if version >= WAITAOF_SINCE and facts.get("aof_enabled") == "1":
        return ("WAITAOF", "1", "0", str(CONFIRM_MS))
    replicated = facts.get("connected_slaves", "0") != "0"
    return ("WAIT", "1", str(CONFIRM_MS)) if replicated else ()


def _facts(replies: list[Any]) -> dict[str, str]:
    facts: dict[str, str] = {}
    for reply in replies:
        if isinstance(reply, bytes):
            lines = (line.partition(":") for line in reply.decode().splitlines())
            facts.update((name, value) for name, colon, value in lines if colon)
    return facts


def _warnings(facts: dict[str, str], durable: bool | None, eviction: str | None) -> list[str]:
    warnings = []
    if durable is None or eviction is None:
        warnings.append("the server does not tell all of its settings")
    if durable is False:
        warnings.append("AOF is off: jobs accepted since the last snapshot are lost in a crash")
    if eviction not in (None, "noeviction"):
        warnings.append(f"maxmemory-policy is {eviction}: Redis may evict jobs; use noeviction")
    if facts.get("role") == "slave":
        warnings.append("this is a replica: it refuses every write")
    return warnings
