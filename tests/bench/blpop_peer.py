"""Pops messages with redis-py as they arrive, and reports how long each took: `REDIS_URL`.

What a sleeping process costs at the least on this machine, for bench_latency.py to compare with.
"""

import asyncio
import sys
import time

import uvloop
from redis.asyncio import Redis


async def main(url: str) -> None:
    """Answer each time of the monotonic clock, in ns, with its age."""
    client = Redis.from_url(url, socket_timeout=None)
    while True:
        message = await client.blpop(["bare"], 0)
        now = time.monotonic_ns()
        assert message is not None
        await client.rpush("bare:took", now - int(message[1]))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1]))
