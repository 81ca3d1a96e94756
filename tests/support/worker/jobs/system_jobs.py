"""Handlers of the system tests. Files that the body names are the signals between test and job."""

import asyncio
import ctypes
import fcntl
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from asyncendpoints import JobContext, PermanentError, handler


def _note(body: dict[str, Any], job: JobContext) -> None:
    """Add a line about this run to the file `runs`: claim number and process."""
    if "runs" in body:
        with Path(body["runs"]).open("a") as file:
            file.write(f"{job.id} {job.claim} {os.getpid()}\n")


@handler("pid")
async def pid() -> int:
    return os.getpid()


@handler("hold")
async def hold(body: dict[str, Any], job: JobContext) -> str:
    """Run until the file `until` exists."""
    _note(body, job)
    while not Path(body["until"]).exists():  # noqa: ASYNC110  # a file has no event
        await asyncio.sleep(0.01)
    return "held"


@handler("family")
async def family(body: dict[str, Any], job: JobContext) -> str:
    """Enqueue two jobs, then run until the file `until` exists."""
    job.enqueue("pid")
    job.enqueue("pid", delay=0.01)
    return await hold(body, job)


@handler("flaky")
async def flaky(body: dict[str, Any], job: JobContext) -> int:
    """Fail `failures` times."""
    if job.attempt <= body["failures"]:
        raise RuntimeError(f"failure {job.attempt}")
    return job.attempt


@handler("permanent")
def permanent() -> None:
    raise PermanentError("never")


@handler("progress")
async def progress(body: dict[str, Any], job: JobContext) -> None:
    job.progress(0.25, "a quarter")
    await hold(body, job)


@handler("cooperate")
def cooperate(body: dict[str, Any], job: JobContext) -> None:
    """A plain function that looks at the cancel flag."""
    _note(body, job)
    while True:
        job.raise_if_canceled()
        time.sleep(0.01)


@handler("ignore")
def ignore(body: dict[str, Any], job: JobContext) -> None:
    """A plain function that never looks up."""
    _note(body, job)
    while True:
        time.sleep(1)


@handler("lock")
def lock(body: dict[str, Any], job: JobContext) -> str:
    """Hold a lock until the file `until` exists, deaf to everything; say so if another has it."""
    with Path(body["lock"]).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return "contended"
        _note(body, job)
        while not Path(body["until"]).exists():
            time.sleep(0.01)
        return "free"


@handler("gil")
async def gil(body: dict[str, Any], job: JobContext) -> None:
    """Sleep in C without letting go of the interpreter."""
    _note(body, job)
    ctypes.PyDLL(None).sleep(600)


@handler("block")
async def block(body: dict[str, Any], job: JobContext) -> None:
    """Hold the event loop for some seconds: bad manners, but no death."""
    time.sleep(body["seconds"])  # the point


@handler("segfault")
async def segfault(body: dict[str, Any], job: JobContext) -> None:
    """Take the whole process down as soon as as many jobs run here as `beside` says."""
    _note(body, job)
    deadline = time.monotonic() + body["patience"]
    while time.monotonic() < deadline:
        if len(Path(body["runs"]).read_text().splitlines()) > body["beside"]:
            break
        await asyncio.sleep(0.01)
    ctypes.string_at(0)


@handler("leak")
async def leak(body: dict[str, Any], job: JobContext) -> None:
    """Take ever more memory."""
    _note(body, job)
    kept = []
    while True:
        kept.append(bytearray(b"x") * (4 << 20))
        await asyncio.sleep(0)


@handler("subprocesses")
def subprocesses(body: dict[str, Any], job: JobContext) -> None:
    """Start processes, one of which leaves the group; write their pids; never return."""
    plain = subprocess.Popen(["sleep", "600"])
    away = subprocess.Popen(["sleep", "600"], start_new_session=True)
    partial = Path(body["pids"] + ".partial")
    partial.write_text(f"{plain.pid} {away.pid}")
    partial.rename(body["pids"])
    while True:
        time.sleep(1)
