"""A real gateway with a worker in this process, for the clients of every language."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from asyncendpoints_core.errors import PermanentError
from asyncendpoints_core.process.settings import Settings
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_gateway.server.serve import Server
from asyncendpoints_worker import JobContext, Result
from asyncendpoints_worker.handlers.registry import HANDLER, Declaration, Registry
from asyncendpoints_worker.local import LocalWorker
from support.http.gateway import endpoint

TOKEN = "clients"
ROUTES: list[dict[str, Any]] = [
    {
        "path": "/sums/{customer}",
        "job": "add-up",
        "methods": ["POST", "PUT"],
        "schema": {
            "type": "object",
            "required": ["numbers"],
            "properties": {"numbers": {"type": "array", "items": {"type": "number"}}},
        },
        "result": {
            "schema": {
                "type": "object",
                "required": ["sum"],
                "properties": {"sum": {"type": "number"}, "customer": {"type": "string"}},
            }
        },
    },
    {"path": "/steps", "job": "steps"},
    {"path": "/failures", "job": "failing"},
    {"path": "/blobs", "job": "blob"},
    {"path": "/endless", "job": "endless"},
    {"path": "/shared/{name}", "job": "endless", "unique": {"of": ["param:name"]}},
    {
        "path": "/single/{name}",
        "job": "endless",
        "unique": {"of": ["param:name"], "onConflict": "Reject"},
    },
]


async def _add_up(body: dict[str, Any], job: JobContext) -> dict[str, Any]:
    return {"sum": sum(body["numbers"]), "customer": job.route_params["customer"]}


async def _steps(_: Any, job: JobContext) -> str:
    for step in range(1, 4):
        await job.progress(step / 4, f"step {step}")
        await asyncio.sleep(0.1)  # longer than the gateway's gap between events
    return "a,b"


async def _failing() -> None:
    raise PermanentError("no rows", code="empty")


async def _blob(body: bytes) -> Result:
    return Result(body * 2, content_type="application/octet-stream", filename="blob.bin")


async def _endless() -> None:
    await asyncio.Event().wait()


HANDLERS: dict[str, Callable[..., Any]] = {
    "add-up": _add_up,
    "steps": _steps,
    "failing": _failing,
    "blob": _blob,
    "endless": _endless,
}


@asynccontextmanager
async def gateway(
    store: Store, folder: Path, origins: tuple[str, ...] = ("*",)
) -> AsyncIterator[str]:
    """Run a gateway that requires TOKEN, and its worker; yield its URL."""
    (folder / "tokens").write_text(TOKEN)
    described = endpoint(
        routes=ROUTES,
        gateway={
            "auth": {"tokens": {"file": str(folder / "tokens")}},
            "cors": {"allowOrigins": list(origins)},
        },
        retry={"maxRetries": 0},
    )
    declared = (Declaration(HANDLER, name, f, "m:1") for name, f in HANDLERS.items())
    await store.open()
    server = Server(described, store, Settings(http_port=0), owns_policy=True)
    await server.start()
    worker = LocalWorker(described, store, Registry.of(declared))
    await worker.start()
    try:
        await asyncio.wait_for(server.gateway.policy.connected.wait(), 20)
        yield f"http://127.0.0.1:{server.port}"
    finally:
        await worker.stop(0)
        await server.stop()
        await store.close()
