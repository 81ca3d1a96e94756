"""Handlers of the fault tests. Each run writes when it begins and ends to the file $RUNS."""

import asyncio
import ctypes
import os
import random
import select
import signal
import time

from asyncendpoints import JobContext, PermanentError, handler

_RUNS = os.open(os.environ["RUNS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def _note(what: str, job: JobContext) -> None:
    os.write(_RUNS, f"{what} {job.id} {job.claim} {time.monotonic_ns()}\n".encode())


@handler("quick")
async def quick(body: dict[str, object], job: JobContext) -> dict[str, object]:
    """Return what was sent."""
    _note("begin", job)
    _note("end", job)
    return body


@handler("bulk")
async def bulk(body: dict[str, object], job: JobContext) -> dict[str, object]:
    """Return what was sent; many of these run beside the others."""
    return await quick(body, job)


@handler("slow")
async def slow(body: dict[str, float], job: JobContext) -> str:
    """Report progress for some time."""
    _note("begin", job)
    try:
        for step in range(5):
            job.progress(step / 5)
            await asyncio.sleep(body["seconds"] / 5)
    finally:
        _note("end", job)
    return "slow"


@handler("plain")
def plain(body: dict[str, float], job: JobContext) -> str:
    """Wait in a thread."""
    _note("begin", job)
    try:
        select.select([], [], [], body["seconds"])  # time.sleep fails under libfaketime
    finally:
        _note("end", job)
    return "plain"


@handler("flaky")
async def flaky(body: dict[str, float], job: JobContext) -> int:
    """Fail at random; sometimes for good."""
    _note("begin", job)
    _note("end", job)
    chance = random.random()
    if chance < body["permanent"]:
        raise PermanentError("not this one")
    if chance < body["fails"]:
        raise RuntimeError("this time not")
    return job.attempt


@handler("family")
async def family(body: dict[str, float], job: JobContext) -> int:
    """Enqueue some jobs, and then fail at random."""
    _note("begin", job)
    for number in range(int(body["jobs"])):
        job.enqueue("quick", {"n": number}, delay=0.1 * (number % 2))
        await asyncio.sleep(body["seconds"] / body["jobs"])
    _note("end", job)
    if random.random() < body["fails"]:
        raise RuntimeError("this time not")
    return job.attempt


@handler("blocking")
async def blocking(body: dict[str, float], job: JobContext) -> str:
    """Hold the interpreter's lock, so that nothing else runs in this process."""
    _note("begin", job)
    ctypes.PyDLL(None).usleep(int(body["seconds"] * 1_000_000))
    _note("end", job)
    return "blocking"


@handler("poison")
async def poison(body: dict[str, object], job: JobContext) -> None:
    """Kill the process, with all its neighbors."""
    _note("begin", job)
    os.kill(os.getpid(), signal.SIGKILL)
