"""Faults of processes and of clients, on whichever Redis."""

import asyncio
import random
import socket
import time
from signal import SIGCONT, SIGSTOP
from urllib.parse import urlsplit

from faults.catalog import Fault, register
from faults.system import LEASE_SECONDS, System
from support.worker.process import kill, send

SUBMISSION = b"POST /quick HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
DESCRIPTION = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
FAULTS: dict[str, Fault[System]] = {}
fault = register(FAULTS)


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
async def clock_stepped(system: System, chance: random.Random) -> None:
    """Step the wall clock of one gateway or worker, by up to an hour."""
    chance.choice(system.roles).clock.set(chance.uniform(-3_600, 3_600))


@fault
async def client_never_reads(system: System, chance: random.Random) -> None:
    """Send a gateway request after request on some connections, and read no response."""
    parts = urlsplit(chance.choice(system.urls))
    found = [_connected((parts.hostname or "", parts.port or 0)) for _ in range(20)]
    connections = [each for each in found if each is not None]
    end = time.monotonic() + chance.uniform(1, 3)
    while time.monotonic() < end:
        for number, connection in enumerate(connections):
            try:
                connection.send(DESCRIPTION * 50 if number % 2 else SUBMISSION)
            except OSError:  # the gateway reads no more either, or has ended
                continue
        await asyncio.sleep(0.1)
    for connection in connections:
        connection.close()


def _connected(address: tuple[str, int]) -> socket.socket | None:
    """Connect, with little room for what arrives; None if the gateway is down."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    try:
        connection.connect(address)
    except OSError:
        connection.close()
        return None
    connection.setblocking(False)
    return connection
