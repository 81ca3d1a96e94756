"""The admin port: /livez, /readyz and /metrics. Never reachable through the Service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from aiohttp import web
from prometheus_client import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from asyncendpoints_gateway.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping


class Source(Protocol):
    """What metrics are collected from: a registry or a single collector."""

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of now."""
        ...


class Labelled(Collector):
    """Several sources as one, each sample with the name of its endpoint."""

    def __init__(self, sources: Iterable[tuple[str, Source]]) -> None:
        """Show `sources`: (endpoint, where its metrics come from)."""
        self._sources = tuple(sources)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric once, with the samples of all endpoints."""
        merged: dict[str, Metric] = {}
        for endpoint, source in self._sources:
            for metric in source.collect():
                into = merged.get(metric.name)
                if into is None:
                    into = merged[metric.name] = Metric(
                        metric.name, metric.documentation, metric.type, metric.unit
                    )
                into.samples += [
                    sample._replace(labels={"endpoint": endpoint, **sample.labels})
                    for sample in metric.samples
                ]
        yield from merged.values()


def admin_app(
    ready: Mapping[str, Callable[[], bool]], sources: Iterable[tuple[str, Source]]
) -> web.Application:
    """Return the admin application for the endpoints of one process.

    Alive is who answers: liveness never asks the store. Ready is who has reached its store once.
    """
    metrics = Labelled(sources)

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        waiting = [name for name, check in ready.items() if not check()]
        if waiting:
            return web.Response(status=503, text=f"not ready: {', '.join(waiting)}\n")
        return web.Response(text="ok\n")

    async def scrape(_: web.Request) -> web.Response:
        body = generate_latest(metrics)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    app = web.Application()
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", scrape)
    return app
