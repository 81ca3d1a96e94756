"""Jobs in a Starlette application that has a lifespan of its own: `uvicorn starlette_app:app`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from asyncendpoints import MemoryStore, asgi

jobs = asgi(Path(__file__).with_name("endpoint.yaml"), MemoryStore(), worker=True)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Open what the handlers use too, before they start."""
    app.state.ready = True
    async with jobs.lifespan(app):
        yield
    app.state.ready = False


async def index(request: Request) -> JSONResponse:
    """A path of the application's own."""
    return JSONResponse({"jobs": "/async/greetings/{name}", "ready": request.app.state.ready})


app = Starlette(routes=[Route("/", index), Mount("/async", app=jobs)], lifespan=lifespan)
