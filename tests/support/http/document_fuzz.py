"""Schemathesis against the OpenAPI document that a gateway serves, with every check."""

import asyncio
import json
import os
import random
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from asyncendpoints_core.errors import WorkerGone
from asyncendpoints_core.jobs.records import JobError, Result, complete, fail
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.protocol import Store
from support.http.gateway import ROUTES, SCHEMA, endpoint, serving
from support.store.stores import hand

_HERE = Path(__file__).parent
_TOKEN = "t0ken-of-the-fuzzer"


def fuzzed(**spec: Any) -> AsyncEndpoint:
    """Return an endpoint with each kind of route."""
    routes = [
        *ROUTES,
        {"path": "/any/{x}", "job": "any", "key": "pointer:/customer", "methods": ["POST", "PUT"]},
        {"path": "/once", "job": "once", "unique": {"of": ["pointer:/a", "query"]}},
        {
            "path": "/typed",
            "job": "typed",
            "schema": {**SCHEMA, "additionalProperties": False},
            "result": {"contentType": "application/json", "schema": {"type": "object"}},
        },
    ]
    return endpoint(routes=routes, **spec)


async def schemathesis(store: Store, folder: Path, *options: str) -> None:
    """Run Schemathesis with `options` against a gateway with a token whose jobs end; raises
    AssertionError with its output if a check failed.
    """
    tokens = folder / "tokens"
    tokens.write_text(_TOKEN + "\n")
    described = fuzzed(gateway={"auth": {"tokens": {"file": str(tokens)}}})
    async with serving(store, described) as site:
        working = asyncio.create_task(_work(store))
        try:
            bearer = {"Authorization": f"Bearer {_TOKEN}"}
            served = await site.ask("GET", "/openapi.json", headers=bearer)
            (folder / "openapi.json").write_bytes(served.body)
            await _run(f"http://127.0.0.1:{site.port}", folder, *options)
        finally:
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working


async def _run(url: str, folder: Path, *options: str) -> None:
    program = Path(sys.executable).with_name("schemathesis")
    process = await asyncio.create_subprocess_exec(
        *(
            program,
            "--config-file",
            _HERE / "schemathesis.toml",
            "run",
            "openapi.json",
            "--url",
            url,
        ),
        # DELETE cancels a job, which stays readable; only ?purge=true removes it.
        *("--checks", "all", "--exclude-checks", "use_after_free"),
        *("--request-timeout", "10", "--output-sanitize", "false", *options),
        env={
            **os.environ,
            "FUZZ_TOKEN": _TOKEN,
            "PYTHONPATH": str(_HERE),
            "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
        },
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output.decode()


async def _work(store: Store) -> None:
    """Complete jobs, and fail some."""
    chance = random.Random(1)
    worker = await hand(store, "fuzzed-worker")
    while True:
        try:
            for one in await worker.take():
                outcome = complete(one.claim, _result(one.job.name))
                if one.job.name != "typed" and chance.random() < 0.2:
                    outcome = fail(one.claim, JobError("handler-error", "it went wrong"))
                await store.settle([outcome])
        except WorkerGone:
            worker = await hand(store, "fuzzed-worker")
        await asyncio.sleep(0.02)


def _result(name: str) -> Result:
    if name == "typed":
        return Result("application/json", json.dumps({"a": 1}).encode())
    return Result("text/plain", b"done")
