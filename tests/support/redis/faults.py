"""Errors of a whole server, made real: each function causes one, and returns what ends it."""

import socket
from collections.abc import Callable
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from asyncendpoints_core.store.redis.error_replies import word_of
from support.redis.cluster import wait_until
from support.redis.server import RedisServer


def busy(server: RedisServer, client: Redis) -> Callable[[], object]:
    client.config_set("lua-time-limit", 1)
    with socket.create_connection((server.host, server.port)) as endless:
        endless.sendall(b'EVAL "while true do end" 0\r\n')
        wait_until(lambda: _answers_busy(client), "a busy server")
    return client.script_kill


def _answers_busy(client: Redis) -> bool:
    try:
        client.get("key")
    except RedisError as error:
        return word_of(error) == "BUSY"
    return False


def readonly(server: RedisServer, client: Redis) -> Callable[[], object]:
    client.replicaof("127.0.0.1", "1")
    return lambda: client.replicaof("NO", "ONE")


def no_replicas(server: RedisServer, client: Redis) -> Callable[[], object]:
    client.config_set("min-replicas-to-write", 1)
    return lambda: client.config_set("min-replicas-to-write", 0)


def info(client: Redis) -> dict[str, Any]:
    found: Any = client.info("persistence")
    return dict(found)


def misconf(server: RedisServer, client: Redis) -> Callable[[], object]:
    client.config_set("appendonly", "no")
    client.config_set("save", "3600 1")
    (server.directory / "dump.rdb").unlink(missing_ok=True)
    (server.directory / "dump.rdb").mkdir()  # saving renames a file to this name
    client.set("changed", "1")
    client.bgsave()
    wait_until(lambda: info(client)["rdb_last_bgsave_status"] != "ok", "a failed snapshot")
    return lambda: client.config_set("stop-writes-on-bgsave-error", "no")


def password(server: RedisServer, client: Redis) -> Callable[[], object]:
    client.config_set("requirepass", "secret")
    client.client_kill_filter(_type="normal", skipme=True)
    return lambda: setattr(server, "password", "secret")


FAULTS: dict[str, Callable[[RedisServer, Redis], Callable[[], object]]] = {
    "BUSY": busy,
    "READONLY": readonly,
    "NOREPLICAS": no_replicas,
    "MISCONF": misconf,
    "NOAUTH": password,
}
"""By the first word of the error reply."""
