"""The test servers behave as the other tests require."""

import asyncio
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio import RedisCluster as AsyncRedisCluster
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, OutOfMemoryError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from support.paths import TESTS
from support.ports import is_free
from support.redis.cluster import RedisCluster, wait_until
from support.redis.sentinel import RedisSentinel
from support.redis.server import RedisServer


def test_each_test_finds_an_empty_database(redis_url: str) -> None:
    with Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_each_test_finds_an_empty_database_again(redis_url: str) -> None:
    with Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


@pytest.mark.parametrize("kill", [False, True])
def test_a_restart_with_a_log_keeps_port_and_data(kill: bool) -> None:
    with RedisServer(appendonly=True, appendfsync="always") as server:
        port, pid = server.port, server.pid
        with Redis.from_url(server.url) as client:
            client.set("key", "value")
        server.restart(kill=kill)
        assert server.port == port
        assert server.pid != pid
        with Redis.from_url(server.url) as client:
            assert client.get("key") == b"value"


def test_a_restart_without_a_log_forgets() -> None:
    with RedisServer() as server, Redis.from_url(server.url) as client:
        client.set("key", "value")
        server.restart()
        assert client.get("key") is None


async def test_a_paused_server_answers_only_when_resumed() -> None:
    with RedisServer() as server:
        async with AsyncRedis.from_url(server.url, socket_timeout=0.1) as client:
            await client.ping()
            server.pause()
            with pytest.raises(RedisTimeoutError):
                await client.get("key")
            server.resume()
        async with AsyncRedis.from_url(server.url) as client:
            assert await client.get("key") is None


def test_a_paused_server_can_be_stopped() -> None:
    with RedisServer() as server:
        server.pause()
        server.stop()
        assert not server.is_running


def test_password_memory_limit_and_unix_socket() -> None:
    with RedisServer(
        requirepass="se:cret", maxmemory="100kb", maxmemory_policy="noeviction", unix_socket=True
    ) as server:
        with (
            Redis(port=server.port, retry=Retry(NoBackoff(), 0)) as anonymous,
            pytest.raises(AuthenticationError),
        ):
            anonymous.ping()
        with Redis.from_url(server.url) as client, pytest.raises(OutOfMemoryError):
            client.set("key", "value")
        with Redis.from_url(server.unix_url) as client:
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_a_bad_directive_is_reported_with_the_log() -> None:
    with pytest.raises(RuntimeError, match="no-such"), RedisServer(no_such="1"):
        pass


async def test_cluster_serves_every_slot_and_moves_one(redis_cluster: RedisCluster) -> None:
    slot = redis_cluster.slot_of("{tag}")
    source = redis_cluster.owner_of(slot)
    target = (source + 1) % 3
    async with AsyncRedisCluster.from_url(redis_cluster.url) as client:
        for number in range(30):
            await client.set(f"{{tag}}{number}", number)
            await client.set(f"key{number}", number)
        redis_cluster.begin_migration(slot, target)
        assert await client.get("{tag}7") == b"7"
        assert redis_cluster.move_keys(slot, target) == 30
        assert await client.get("{tag}7") == b"7"  # by ASK
        redis_cluster.finish_migration(slot, target)
        assert redis_cluster.owner_of(slot) == target
        assert await client.get("{tag}7") == b"7"  # by MOVED
        assert [await client.get(f"key{n}") for n in range(30)] == [b"%d" % n for n in range(30)]
    assert redis_cluster.migrate(slot, source) == 30


async def test_sentinel_fails_over_in_order(redis_sentinel: RedisSentinel) -> None:
    sentinel = Sentinel(redis_sentinel.addresses)
    client = sentinel.master_for(redis_sentinel.service_name)
    await client.set("key", "value")
    old = redis_sentinel.master
    assert redis_sentinel.failover() is not old
    assert await client.get("key") == b"value"
    await client.aclose()
    for link in sentinel.sentinels:
        await link.aclose()


def test_three_sentinels_replace_a_killed_master() -> None:
    with RedisSentinel(sentinels=3) as sentinel:
        old = sentinel.master
        old.kill()
        new = sentinel.wait_for_new_master(old)
        with Redis.from_url(new.url) as client:
            assert client.set("key", "value")


def test_servers_do_not_outlive_a_killed_run(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import os, signal
        from support.redis.server import RedisServer
        first, second, third = (RedisServer().start() for _ in range(3))
        second.close()
        print(first.port, third.port, first.directory, third.directory, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(TESTS), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == -signal.SIGKILL
    *ports, first, third = run.stdout.split()
    wait_until(lambda: all(is_free(int(port)) for port in ports), "the servers are gone")
    for directory in (first, third):
        Path(directory).rmdir()


async def test_a_restart_in_a_thread_leaves_the_loop_free() -> None:
    with RedisServer() as server:
        restart = asyncio.ensure_future(asyncio.to_thread(server.restart))
        assert not restart.done()
        await restart
        async with AsyncRedis.from_url(server.url) as client:
            assert await client.ping()
