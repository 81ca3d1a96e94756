"""A small HTTP load generator: N keep-alive connections, one request in flight on each.

Run as a process of its own, so that it and the server each have a core. Prints one JSON line.
"""

import argparse
import asyncio
import json
import time
from collections import Counter
from functools import partial
from typing import cast

import uvloop


class Client(asyncio.Protocol):
    """One connection that repeats the same request as soon as its response is complete.

    It should cost little: on a machine of two cores it has one of them, beside Redis.
    """

    def __init__(self, request: bytes, stop_at: float, done: asyncio.Future[None]) -> None:
        self.request = request
        self.stop_at = stop_at
        self.done = done
        self.buffer = b""
        self.size = 0  # of the last response; the next one is likely to be as long
        self.latencies: list[float] = []
        self.statuses: Counter[bytes] = Counter()
        self.sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not asyncio.Transport
        self.transport = cast("asyncio.Transport", transport)
        self.sent = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if self.buffer:
            data = self.buffer + data
        if len(data) != self.size and not self._is_whole(data):
            self.buffer = data
            return
        self.buffer = b""
        now = time.perf_counter()
        self.latencies.append(now - self.sent)
        self.statuses[data[9:12]] += 1
        if now < self.stop_at:
            self.sent = now
            self.transport.write(self.request)
        else:
            self.transport.close()

    def _is_whole(self, data: bytes) -> bool:
        head = data.find(b"\r\n\r\n")
        if head < 0:
            return False
        at = data.lower().find(b"content-length:", 0, head + 2)
        length = int(data[at + 15 : data.find(b"\r\n", at)]) if at >= 0 else 0
        self.size = head + 4 + length
        return len(data) >= self.size

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def load(
    host: str, port: int, request: bytes, connections: int, seconds: float
) -> dict[str, object]:
    """Load one server and return its rate, percentiles in ms, and answers by status."""
    loop = asyncio.get_running_loop()
    begun = time.perf_counter()
    clients = []
    for _ in range(connections):
        done = loop.create_future()
        _, client = await loop.create_connection(
            partial(Client, request, begun + seconds, done), host, port
        )
        clients.append(client)
    await asyncio.gather(*(client.done for client in clients))
    took = time.perf_counter() - begun
    latencies = sorted(value for client in clients for value in client.latencies)
    statuses: Counter[str] = Counter()
    for client in clients:
        for status, times in client.statuses.items():
            statuses[status.decode()] += times
    count = len(latencies)
    return {
        "rate": count / took,
        "p50_ms": latencies[count // 2] * 1000 if count else None,
        "p99_ms": latencies[int(count * 0.99)] * 1000 if count else None,
        "statuses": statuses,
    }


def main() -> None:
    """Parse the command line, load, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", default="/echo")
    parser.add_argument("--body", default="x" * 100)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    body = options.body.encode()
    request = (
        f"POST {options.path} HTTP/1.1\r\nHost: {options.host}\r\nUser-Agent: bench\r\n"
        f"Accept: */*\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    figures = uvloop.run(
        load(options.host, options.port, request, options.connections, options.seconds)
    )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
