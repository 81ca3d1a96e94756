"""Counts the lines of a file, slowly enough to be watched."""

import asyncio

from asyncendpoints import JobContext, PermanentError, handler

PARTS = 10


@handler("count-lines")
async def count_lines(body: bytes, job: JobContext) -> dict[str, object]:
    """Return the name and the number of lines of the file in the body."""
    if not body:
        raise PermanentError("the file is empty", code="empty")
    size = -(-len(body) // PARTS)
    lines = 0
    for part in range(PARTS):
        lines += body[part * size : (part + 1) * size].count(b"\n")
        await job.progress((part + 1) / PARTS, f"{lines} lines")
        await asyncio.sleep(0.2)  # a real handler does its work here
    return {"name": job.route_params["name"], "lines": lines}
