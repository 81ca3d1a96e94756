"""The handlers that the benchmarks run."""

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
