"""The handlers that the benchmarks run."""

import time

from asyncendpoints_worker import JobContext, handler


@handler("noop")
async def noop() -> None:
    """Do nothing, as cheaply as an async handler can."""


@handler("stamp")
async def stamp(body: bytes, job: JobContext) -> str:
    """Report when the handler was started, in nanoseconds of the monotonic clock."""
    return str(time.monotonic_ns())
