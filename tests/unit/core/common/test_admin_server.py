"""The admin port: probes, metrics, and the error when the port is taken."""

import platform
import re

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from asyncendpoints_core import __version__
from asyncendpoints_core.common.admin_server import AdminServer
from asyncendpoints_core.errors import CannotListen


async def test_probes_and_metrics() -> None:
    registry, state = CollectorRegistry(), {"problem": "not ready: one", "alive": True}
    Counter("things", "Things.", registry=registry).inc()
    server = AdminServer(
        "127.0.0.1", 0, registry, lambda: str(state["problem"]), lambda: bool(state["alive"])
    )
    await server.start()
    url = f"http://127.0.0.1:{server.port}"

    async def get(path: str) -> tuple[int, str, str]:
        async with http.get(url + path) as answer:
            return answer.status, answer.content_type, await answer.text()

    async with aiohttp.ClientSession() as http:
        assert await get("/livez") == (200, "text/plain", "ok\n")
        assert await get("/readyz") == (503, "text/plain", "not ready: one\n")
        state.update(problem="", alive=False)
        assert await get("/livez") == (503, "text/plain", "not alive\n")
        assert await get("/readyz") == (200, "text/plain", "ok\n")
        for host, expected in (("localhost:1", 200), ("[::1]:1", 200), ("evil.example", 403)):
            async with http.get(url + "/readyz", headers={"Host": host}) as answer:
                assert answer.status == expected
        status, kind, text = await get("/metrics")
        assert (status, kind) == (200, "text/plain")
        assert "things_total 1.0" in text
        assert re.search(r"^process_resident_memory_bytes [1-9]", text, re.MULTILINE)
        assert re.search(r"^process_cpu_seconds_total ", text, re.MULTILINE)
        build = f'asyncendpoints_build_info{{python="{platform.python_version()}",version="'
        assert f'{build}{__version__}"}} 1.0' in text
    await server.stop()


async def test_a_port_that_is_taken() -> None:
    first = AdminServer("127.0.0.1", 0, CollectorRegistry(), lambda: "")
    await first.start()
    second = AdminServer("127.0.0.1", first.port, CollectorRegistry(), lambda: "")
    with pytest.raises(CannotListen):
        await second.start()
    await second.stop()
    await first.stop()
