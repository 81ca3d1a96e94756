"""The handlers that the benchmarks run."""

import asyncio
import time

from asyncendpoints_worker import JobContext, handler


@handler("noop")
async def noop() -> None:
    """Do nothing, as cheaply as an async handler can."""


@handler("typical")
async def typical(body: dict[str, str], job: JobContext) -> dict[str, object]:
    """Return a small result."""
    return {"customer": body["customer"], "pages": 12}


@handler("stamp")
async def stamp(body: bytes, job: JobContext) -> str:
    """Report when the handler was started, in nanoseconds of the monotonic clock."""
    return str(time.monotonic_ns())


@handler("sleep-1-ms")
async def sleep_1_ms() -> None:
    """Wait as a fast call over the network does."""
    await asyncio.sleep(0.001)


@handler("sleep-100-ms")
async def sleep_100_ms() -> None:
    """Wait as a slow call over the network does."""
    await asyncio.sleep(0.1)
