"""The handlers of endpoint.yaml."""

import asyncio

from asyncendpoints import JobContext, handler


@handler("greet")
async def greet(body: bytes | None, job: JobContext) -> dict[str, str]:
    """Return a greeting; a body of "slowly" takes ten minutes."""
    await job.progress(0.5, "thinking")
    if body == b"slowly":
        await asyncio.sleep(600)
    return {"greeting": f"Hello, {job.route_params['name']}"}
