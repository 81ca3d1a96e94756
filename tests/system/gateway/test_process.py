"""The gateway as a process: its ports, its probes, and its shutdown on SIGTERM."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from asyncendpoints_core.errors import CannotListen
from asyncendpoints_core.process.settings import Settings
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_gateway.server.serve import Server, admin_server, serve
from support.http.fixtures import http_mode
from support.http.gateway import ROUTES, Site, endpoint, parse_events, serving
from support.ports import free_port
from support.resources import resource

__all__ = ["http_mode"]

PROGRAM = """
import asyncio, logging, signal, sys
import yaml
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.process.settings import load
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_gateway.server.fast_path import probe
from asyncendpoints_gateway.server.serve import serve

if sys.argv[3] == "public interface":
    probe.differences = lambda: ["a test"]
described = AsyncEndpoint.parse(yaml.safe_load(open(sys.argv[1])))
flags = {"http_port": 0, "admin_port": int(sys.argv[2])}
logging.basicConfig(level="INFO", stream=sys.stdout, format="%(message)s")

async def main():
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await serve(described, MemoryStore(), load(flags), stopping=stopping)

asyncio.run(main())
"""


class Running:
    """A gateway process."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, admin: str) -> None:
        self.process = process
        self.url = url
        self.admin = admin


@pytest.fixture
async def running(tmp_path: Path, http_mode: str) -> AsyncIterator[Running]:
    file = tmp_path / "endpoint.yaml"
    file.write_text(yaml.safe_dump(resource(routes=ROUTES)))
    admin = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, str(file), str(admin), http_mode),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = b""
        while b" is ready at " not in line:
            line = await asyncio.wait_for(process.stdout.readline(), 30)
            assert line, "it ended"
        name, _, url = line.decode().strip().partition(" is ready at ")
        assert name == "reports"
        yield Running(process, url, f"http://127.0.0.1:{admin}")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_sigterm_answers_waits_and_closes_streams(running: Running) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{running.url}/reports/7") as response:
            job = running.url + response.headers["Location"]
        events = await session.get(job, headers={"Accept": "text/event-stream"})
        assert await events.content.readuntil(b"\n\n")
        polls = [
            asyncio.create_task(session.get(f"{job}?wait=60")),
            asyncio.create_task(session.post(f"{running.url}/x", headers={"Prefer": "wait=60"})),
            asyncio.create_task(
                session.post(f"{running.url}/reports/7", headers={"Prefer": "wait=60"})
            ),
        ]
        async with session.get(f"{running.admin}/metrics") as metrics:
            text = await metrics.text()
        while 'http_waiters{endpoint="reports"} 3.0' not in text:
            async with session.get(f"{running.admin}/metrics") as metrics:
                text = await metrics.text()
        running.process.send_signal(signal.SIGTERM)
        answers = await asyncio.wait_for(asyncio.gather(*polls), 20)
        assert [answer.status for answer in answers] == [200, 404, 202]
        assert (await answers[0].json())["state"] == "Queued"
        assert answers[0].headers["Connection"] == "close"
        assert await asyncio.wait_for(events.content.read(), 20) == b""
        assert await asyncio.wait_for(running.process.wait(), 20) == 0
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(job)


async def test_sigterm_closes_idle_connections_at_once(running: Running) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{running.url}/docs") as response:
            await response.read()
        running.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(running.process.wait(), 9) == 0


async def test_probes_and_metrics(running: Running) -> None:
    async with aiohttp.ClientSession() as session:
        for probe in ("livez", "readyz"):
            async with session.get(f"{running.admin}/{probe}") as response:
                assert (response.status, await response.text()) == (200, "ok\n")
        await session.post(f"{running.url}/reports/7")
        await session.post(f"{running.url}/checked")
        async with session.get(f"{running.admin}/metrics") as response:
            text = await response.text()
    found = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }

    def value(name: str, **labels: str) -> float | None:
        return found.get((name, tuple(sorted({"endpoint": "reports", **labels}.items()))))

    made = value("asyncendpoints_submissions_total", job="build-report", outcome="created")
    assert made == 1
    refused = value(
        "asyncendpoints_submissions_total", job="checked", outcome="unsupported-media-type"
    )
    assert refused == 1
    assert value("asyncendpoints_store_up") == 1
    assert value("asyncendpoints_http_waiters") == 0
    name = "asyncendpoints_http_request_duration_seconds_count"
    assert value(name, operation="submit", status="202") == 1


async def test_jobs_by_state_and_name_are_in_the_metrics() -> None:
    async with serving(MemoryStore()) as site:
        await site.finished()
        await site.accepted("/reports/latest")
        stats = await site.store.stats()
        metrics = site.server.gateway.metrics
        metrics.stats(stats)
        text = metrics.scrape().decode()
        assert 'asyncendpoints_jobs{job="build-report",state="Completed"} 1.0' in text
        assert 'asyncendpoints_jobs{job="latest",state="Queued"} 1.0' in text
        assert 'asyncendpoints_job_events_total{event="completed"} 1.0' in text
        metrics.stats(None)
        text = metrics.scrape().decode()
        assert "asyncendpoints_store_up 0.0" in text
        assert "asyncendpoints_jobs{" not in text


async def test_several_endpoints_on_one_admin_port() -> None:
    one, two = endpoint(), endpoint(suspend=True)
    settings = Settings(http_port=0, admin_port=0)
    servers = [Server(described, MemoryStore(), settings) for described in (one, two)]
    admin = admin_server(settings, servers)
    for server in servers:
        await server.start()
    await admin.start()
    try:
        assert servers[0].port != servers[1].port
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{admin.port}/metrics") as response,
        ):
            text = await response.text()
        assert text.count("# TYPE asyncendpoints_http_waiters gauge") == 1
    finally:
        for server in servers:
            await server.stop()
        await admin.stop()


async def test_a_port_in_use_is_reported_in_one_line() -> None:
    async with serving(MemoryStore()) as site:
        for settings, option in (
            (Settings(http_port=site.port, admin_port=0), "--port"),
            (Settings(http_port=0, admin_port=site.port), "--admin-port"),
        ):
            with pytest.raises(CannotListen) as caught:
                await serve(endpoint(), MemoryStore(), settings, stopping=asyncio.Event())
            assert str(caught.value) == (
                f"cannot listen on 127.0.0.1:{site.port}: the port is taken; choose another one, "
                f"or 0 for any free one: {option}"
            )
    with pytest.raises(CannotListen, match=r"no\.such\.host\.invalid"):
        await Server(
            endpoint(), MemoryStore(), Settings(http_host="no.such.host.invalid", http_port=0)
        ).start()


async def test_over_ipv6() -> None:
    async with serving(MemoryStore(), http_host="::1") as site:
        assert site.server.url == f"http://[::1]:{site.port}"
        async with site.session.post(f"{site.server.url}/reports/7") as response:
            assert response.status == 202


async def test_the_query_is_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")

    async def broken(jobs: object) -> None:
        raise RuntimeError("a bug")

    async with serving(MemoryStore()) as site:
        await _talk(site)
        site.server.gateway.enqueue._call = broken  # type: ignore[assignment]
        assert (await site.ask("POST", "/reports/7?token=s3cret")).status == 500
    ours = [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith(("asyncendpoints", "aiohttp"))
    ]
    assert ours
    assert "s3cret" not in "\n".join(ours)


async def _talk(site: Site) -> None:
    assert (await site.ask("POST", "/reports/7?token=s3cret")).status == 202
    assert (await site.ask("POST", "/nope?token=s3cret")).status == 404
    await site.raw(b"GARBAGE /?token=s3cret\r\n\r\n")
    job_id = await site.accepted()
    await site.store.cancel([job_id])
    answer = await site.ask(
        "GET",
        f"/jobs/{(await site.job(job_id)).json['id']}",
        headers={"Accept": "text/event-stream"},
    )
    assert parse_events(answer.body)
