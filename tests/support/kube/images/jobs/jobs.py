"""Handlers that follow the instructions in the body: {"seconds", "in", "value", "fail"}."""

import asyncio
import os
import signal
import time
from typing import Any

from asyncendpoints import JobContext, PermanentError, handler


@handler("run")
async def run(body: dict[str, Any], job: JobContext) -> dict[str, Any]:
    """Wait (only in the pod named by "in"), fail or answer.

    The answer tells which pod ran it, in which attempt, and from when to when (Unix time).
    """
    started = time.time()
    if body.get("in", os.environ["HOSTNAME"]) == os.environ["HOSTNAME"]:
        await asyncio.sleep(body.get("seconds", 0))
    if "fail" in body:
        raise PermanentError(body["fail"])
    return {
        "value": body.get("value"),
        "pod": os.environ["HOSTNAME"],
        "attempt": job.attempt,
        "ran": [started, time.time()],
    }


@handler("crash")
async def crash(body: dict[str, Any]) -> None:
    """Crash the process, as a bug in a C extension does."""
    os.kill(os.getpid(), signal.SIGKILL)


@handler("eat")
async def eat(body: dict[str, Any]) -> int:
    """Allocate and touch memory until the container is OOM-killed."""
    hoard = [b"x" * 2**20 for _ in range(body["megabytes"])]
    return len(hoard)
