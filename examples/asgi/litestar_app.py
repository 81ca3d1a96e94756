"""Jobs in a Litestar application: `uvicorn litestar_app:app`, from this folder."""

from pathlib import Path

from litestar import Litestar, asgi, get
from litestar.types import Receive, Scope, Send

import asyncendpoints

jobs = asyncendpoints.asgi(
    Path(__file__).with_name("endpoint.yaml"), asyncendpoints.MemoryStore(), worker=True
)


@asgi("/async", is_mount=True, copy_scope=True)
async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
    """Pass what is below /async on."""
    await jobs(scope, receive, send)  # type: ignore[arg-type]


@get("/")
async def index() -> dict[str, str]:
    """A path of the application's own."""
    return {"jobs": "/async/greetings/{name}"}


app = Litestar([index, mounted], lifespan=[jobs.lifespan])
