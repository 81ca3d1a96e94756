"""What goes wrong, one fault at a time; each ends by itself and leaves the system whole."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from signal import SIGCONT, SIGSTOP

from redis import Redis
from redis.exceptions import RedisError

from faults.system import LEASE_SECONDS, System
from support.redis.proxy import Command
from support.worker.process import kill, send

Fault = Callable[[System, random.Random], Awaitable[None]]
FAULTS: dict[str, Fault] = {}


def fault(inject: Fault) -> Fault:
    """Register a fault under its function's name."""
    FAULTS[inject.__name__] = inject
    return inject


def _is_script(command: Command) -> bool:
    return command[0] in {b"EVALSHA", b"EVAL"}


@fault
async def child_killed(system: System, chance: random.Random) -> None:
    """SIGKILL a process that runs handlers."""
    child = system.any_child(chance)
    if child is not None:
        kill(child)


@fault
async def child_stopped_past_its_lease(system: System, chance: random.Random) -> None:
    """SIGSTOP a process that runs handlers, and let it go on when its jobs run elsewhere."""
    child = system.any_child(chance)
    if child is not None:
        send(child, SIGSTOP)
        await asyncio.sleep(chance.uniform(0.5, LEASE_SECONDS + 2))
        send(child, SIGCONT)


@fault
async def worker_stopped_past_its_lease(system: System, chance: random.Random) -> None:
    """SIGSTOP a supervisor and its children, past the lease."""
    worker = system.any_worker(chance)
    pids = [worker.pid, *worker.children()]
    for pid in pids:
        send(pid, SIGSTOP)
    await asyncio.sleep(LEASE_SECONDS + 2)
    for pid in pids:
        send(pid, SIGCONT)


@fault
async def worker_killed(system: System, chance: random.Random) -> None:
    """SIGKILL a supervisor, and start another one."""
    worker = system.any_worker(chance)
    worker.kill()
    await asyncio.sleep(chance.uniform(0, 1))
    await worker.start()


@fault
async def worker_drained(system: System, chance: random.Random) -> None:
    """SIGTERM a supervisor, and start another one."""
    worker = system.any_worker(chance)
    await worker.stop()
    await worker.start()


@fault
async def gateway_killed(system: System, chance: random.Random) -> None:
    """SIGKILL a gateway, and start another one."""
    gateway = chance.choice(system.gateways)
    gateway.kill()
    await gateway.start()


@fault
async def gateway_stopped(system: System, chance: random.Random) -> None:
    """SIGSTOP a gateway for some time."""
    gateway = chance.choice(system.gateways)
    send(gateway.pid, SIGSTOP)
    await asyncio.sleep(chance.uniform(0.2, 2))
    send(gateway.pid, SIGCONT)


@fault
async def replies_dropped(system: System, chance: random.Random) -> None:
    """Lose the reply to some of the next scripts of one process."""
    proxy = chance.choice(system.roles).proxy
    for k in (1, 2, chance.randint(3, 10)):
        proxy.drop_reply(_is_script, k)
    await asyncio.sleep(1)
    proxy.forward()


@fault
async def requests_dropped(system: System, chance: random.Random) -> None:
    """Lose some of the next scripts of one process."""
    proxy = chance.choice(system.roles).proxy
    for k in (1, chance.randint(2, 10)):
        proxy.drop_request(_is_script, k)
    await asyncio.sleep(1)
    proxy.forward()


@fault
async def reply_stalled(system: System, chance: random.Random) -> None:
    """Hold a reply back while the connection stays open."""
    proxy = chance.choice(system.roles).proxy
    proxy.drop_reply(_is_script, 1, stall=True)
    await asyncio.sleep(chance.uniform(0.5, 3))
    proxy.forward()
    proxy.cut()


@fault
async def connections_reset(system: System, chance: random.Random) -> None:
    """Reset every connection of every process."""
    for role in system.roles:
        role.proxy.cut()


@fault
async def worker_partitioned(system: System, chance: random.Random) -> None:
    """Cut one worker off from Redis, past its lease."""
    proxy = system.any_worker(chance).proxy
    proxy.refuse()
    await asyncio.sleep(LEASE_SECONDS + chance.uniform(0, 2))
    await proxy.start()


@fault
async def network_slow(system: System, chance: random.Random) -> None:
    """Delay every reply of Redis to one process."""
    proxy = chance.choice(system.roles).proxy
    proxy.delay = chance.uniform(0.02, 0.2)
    await asyncio.sleep(2)
    proxy.delay = 0.0


@fault
async def redis_killed(system: System, chance: random.Random) -> None:
    """SIGKILL Redis, and start it again; it keeps every acknowledged write (AOF, always)."""
    await asyncio.to_thread(system.redis.kill)
    await asyncio.sleep(chance.uniform(0, 1.5))
    await asyncio.to_thread(system.redis.start)


@fault
async def redis_stopped(system: System, chance: random.Random) -> None:
    """SIGSTOP Redis, longer than a lease at times."""
    system.redis.pause()
    await asyncio.sleep(chance.uniform(0.3, LEASE_SECONDS + 1))
    system.redis.resume()


@fault
async def redis_busy(system: System, chance: random.Random) -> None:
    """Have a script run that answers everybody else with BUSY, until it is killed."""

    def occupy() -> None:
        with Redis.from_url(system.redis.url, retry=None) as client:
            client.config_set("busy-reply-threshold", 50)
            try:
                client.eval("while true do end", 0)
            except RedisError:
                return

    def release() -> None:
        with Redis.from_url(system.redis.url) as client:
            client.script_kill()

    occupied = asyncio.create_task(asyncio.to_thread(occupy))
    await asyncio.sleep(chance.uniform(0.3, 1.5))
    await asyncio.to_thread(release)
    await occupied


@fault
async def redis_full(system: System, chance: random.Random) -> None:
    """Let no memory be left for new jobs."""

    def limit(size: str) -> None:
        with Redis.from_url(system.redis.url) as client:
            client.config_set("maxmemory", size)

    await asyncio.to_thread(limit, "1mb")
    await asyncio.sleep(chance.uniform(0.3, 1))
    await asyncio.to_thread(limit, "0")


@fault
async def redis_cannot_save(system: System, chance: random.Random) -> None:
    """Have every snapshot fail, as on a full disk: Redis refuses writes with MISCONF."""
    # Its snapshot cannot replace a folder.
    obstacle = system.redis.directory / "dump.rdb"

    def fail() -> None:
        with Redis.from_url(system.redis.url) as client:
            client.config_set("save", "3600 1")
            client.bgsave()

    def save() -> None:
        with Redis.from_url(system.redis.url) as client:
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
async def read_only(system: System, chance: random.Random) -> None:
    """Make Redis a replica of nothing for a moment, as in a failover: READONLY."""

    def replicate(of: tuple[str, str] | None) -> None:
        with Redis.from_url(system.redis.url) as client:
            client.execute_command("REPLICAOF", *(of or ("NO", "ONE")))

    await asyncio.to_thread(replicate, ("127.0.0.1", "1"))
    await asyncio.sleep(chance.uniform(0.2, 1))
    await asyncio.to_thread(replicate, None)
