"""Faults of one Redis server, and of the network before it."""

import asyncio
import random
import time

from redis.exceptions import RedisError

from faults.catalog import Fault, connected, register
from faults.single import SingleSystem
from faults.system import LEASE_SECONDS
from support.redis.proxy import Command

FAULTS: dict[str, Fault[SingleSystem]] = {}
fault = register(FAULTS)


def _is_script(command: Command) -> bool:
    return command[0] in {b"EVALSHA", b"EVAL"}


@fault
async def replies_dropped(system: SingleSystem, chance: random.Random) -> None:
    """Lose the reply to some of the next scripts of one process."""
    proxy = system.any_proxy(chance)
    for k in (1, 2, chance.randint(3, 10)):
        proxy.drop_reply(_is_script, k)
    await asyncio.sleep(1)
    proxy.forward()


@fault
async def requests_dropped(system: SingleSystem, chance: random.Random) -> None:
    """Lose some of the next scripts of one process."""
    proxy = system.any_proxy(chance)
    for k in (1, chance.randint(2, 10)):
        proxy.drop_request(_is_script, k)
    await asyncio.sleep(1)
    proxy.forward()


@fault
async def reply_stalled(system: SingleSystem, chance: random.Random) -> None:
    """Hold a reply back while the connection stays open."""
    proxy = system.any_proxy(chance)
    proxy.drop_reply(_is_script, 1, stall=True)
    await asyncio.sleep(chance.uniform(0.5, 3))
    proxy.forward()
    proxy.cut()


@fault
async def connections_reset(system: SingleSystem, chance: random.Random) -> None:
    """Reset every connection of every process."""
    for proxy in system.proxies.values():
        proxy.cut()


@fault
async def worker_partitioned(system: SingleSystem, chance: random.Random) -> None:
    """Cut one worker off from Redis, past its lease."""
    proxy = system.proxies[system.any_worker(chance)]
    proxy.refuse()
    await asyncio.sleep(LEASE_SECONDS + chance.uniform(0, 2))
    await proxy.start()


@fault
async def network_slow(system: SingleSystem, chance: random.Random) -> None:
    """Delay every reply of Redis to one process."""
    proxy = system.any_proxy(chance)
    proxy.delay = chance.uniform(0.02, 0.2)
    await asyncio.sleep(2)
    proxy.delay = 0.0


@fault
async def network_narrow(system: SingleSystem, chance: random.Random) -> None:
    """Let the connections of one process carry little."""
    proxy = system.any_proxy(chance)
    proxy.bytes_per_second = chance.randint(2_000, 50_000)
    await asyncio.sleep(2)
    proxy.bytes_per_second = 0


@fault
async def reply_cut(system: SingleSystem, chance: random.Random) -> None:
    """End a connection in the middle of a reply."""
    proxy = system.any_proxy(chance)
    proxy.drop_reply(_is_script, chance.randint(1, 3), half=True)
    await asyncio.sleep(1)
    proxy.forward()


@fault
async def connections_half_open(system: SingleSystem, chance: random.Random) -> None:
    """Let nothing arrive on the open connections of one process, which nobody closes."""
    proxy = system.any_proxy(chance)
    proxy.fall_silent()
    await asyncio.sleep(chance.uniform(0.5, LEASE_SECONDS + 2))


@fault
async def redis_loading(system: SingleSystem, chance: random.Random) -> None:
    """SIGKILL Redis; it loads its AOF for long, and answers with LOADING meanwhile."""

    def load_at_once() -> None:
        with connected(system.redis.url) as client:
            client.config_set("key-load-delay", 0)

    await asyncio.to_thread(system.redis.kill)
    system.redis.delay_loading(1_000)  # it answers anybody after every 1,024 commands
    starting = asyncio.create_task(asyncio.to_thread(system.redis.start))
    await asyncio.sleep(chance.uniform(1, LEASE_SECONDS))
    await asyncio.to_thread(load_at_once)
    await starting
    system.redis.delay_loading(0)


@fault
async def redis_killed(system: SingleSystem, chance: random.Random) -> None:
    """SIGKILL Redis, and start it again; it keeps every acknowledged write (AOF, always)."""
    await asyncio.to_thread(system.redis.kill)
    await asyncio.sleep(chance.uniform(0, 1.5))
    await asyncio.to_thread(system.redis.start)


@fault
async def redis_stopped(system: SingleSystem, chance: random.Random) -> None:
    """SIGSTOP Redis, longer than a lease at times."""
    system.redis.pause()
    await asyncio.sleep(chance.uniform(0.3, LEASE_SECONDS + 1))
    system.redis.resume()


@fault
async def redis_busy(system: SingleSystem, chance: random.Random) -> None:
    """Have a script run that answers everybody else with BUSY, until it is killed."""

    def occupy() -> None:
        with connected(system.redis.url, retry=None) as client:
            client.config_set("busy-reply-threshold", 50)
            try:
                client.eval("while true do end", 0)
            except RedisError:
                return

    def release() -> None:
        with connected(system.redis.url) as client:
            client.script_kill()

    def restore() -> None:
        with connected(system.redis.url) as client:
            client.config_set("busy-reply-threshold", 5_000)  # the default

    occupied = asyncio.create_task(asyncio.to_thread(occupy))
    await asyncio.sleep(chance.uniform(0.3, 1.5))
    await asyncio.to_thread(release)
    await occupied
    await asyncio.to_thread(restore)


@fault
async def redis_full(system: SingleSystem, chance: random.Random) -> None:
    """Let no memory be left for new jobs."""

    def limit(size: str) -> None:
        with connected(system.redis.url) as client:
            client.config_set("maxmemory", size)

    await asyncio.to_thread(limit, "1mb")
    await asyncio.sleep(chance.uniform(0.3, 1))
    await asyncio.to_thread(limit, "0")


@fault
async def redis_cannot_save(system: SingleSystem, chance: random.Random) -> None:
    """Have every snapshot fail, as on a full disk: Redis refuses writes with MISCONF."""
    # Its snapshot cannot replace a folder.
    obstacle = system.redis.directory / "dump.rdb"

    def fail() -> None:
        with connected(system.redis.url) as client:
            client.config_set("save", "3600 1")
            client.bgsave()

    def save() -> None:
        with connected(system.redis.url) as client:
            while client.info("persistence")["rdb_bgsave_in_progress"]:
                time.sleep(0.02)
            client.save()
            client.config_set("save", "")

    obstacle.unlink(missing_ok=True)
    obstacle.mkdir()
    await asyncio.to_thread(fail)
    await asyncio.sleep(chance.uniform(0.5, 1.5))
    obstacle.rmdir()
    await asyncio.to_thread(save)


@fault
async def read_only(system: SingleSystem, chance: random.Random) -> None:
    """Make Redis a replica of nothing for a moment, as in a failover: READONLY."""

    def replicate(of: tuple[str, str] | None) -> None:
        with connected(system.redis.url) as client:
            client.execute_command("REPLICAOF", *(of or ("NO", "ONE")))

    await asyncio.to_thread(replicate, ("127.0.0.1", "1"))
    await asyncio.sleep(chance.uniform(0.2, 1))
    await asyncio.to_thread(replicate, None)


@fault
async def redis_clock_stepped(system: SingleSystem, chance: random.Random) -> None:
    """Step the wall clock of Redis, which is that of every job, by less or more than a lease."""
    system.redis_clock.set(chance.uniform(-8, 8))


@fault
async def aof_disk_full(system: SingleSystem, chance: random.Random) -> None:
    """Let the AOF not grow any more. With `always` Redis ends itself, with `everysec` it refuses
    writes until there is room.
    """
    policy = chance.choice(("always", "everysec"))

    def configure(value: str) -> None:
        with connected(system.redis.url) as client:
            client.config_set("appendfsync", value)

    await asyncio.to_thread(configure, policy)
    system.redis.limit_files(chance.randint(0, 20_000))
    if await asyncio.to_thread(system.redis.wait_ended, chance.uniform(1, 3)):
        await asyncio.to_thread(system.redis.start)
    else:
        system.redis.limit_files(None)
        await asyncio.to_thread(configure, "always")
