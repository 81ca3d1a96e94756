"""Jobs in a FastAPI application: `uvicorn fastapi_app:app`, from this folder."""

from pathlib import Path

from fastapi import FastAPI

from asyncendpoints import MemoryStore, Refused, Request, asgi


def allow(request: Request) -> None:
    """Refuse what may not become a job."""
    if request.params["name"] == "nobody":
        raise Refused(403, "nobody is not greeted")


jobs = asgi(
    Path(__file__).with_name("endpoint.yaml"),
    MemoryStore(),
    worker=True,
    before_enqueue=allow,
    drain_seconds=2,
)
app = FastAPI(lifespan=jobs.lifespan)
app.mount("/async", jobs)


@app.get("/")
async def index() -> dict[str, str]:
    """A path of the application's own."""
    return {"jobs": "/async/greetings/{name}"}
