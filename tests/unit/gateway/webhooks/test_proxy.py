"""Requests to receivers with TLS, direct and through a proxy, which all are real."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.resource.receiver_urls import parse_url
from asyncendpoints_gateway.webhooks.addresses import AddressRules
from asyncendpoints_gateway.webhooks.sending import Answer, Sender

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate of hooks.example, cert.pem, which vouches for itself, and key.pem."""
    path = tmp_path_factory.mktemp("tls")
    subprocess.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=hooks "
        f"-addext subjectAltName=DNS:hooks.example -keyout {path}/key.pem "
        f"-out {path}/cert.pem".split(),
        check=True,
        capture_output=True,
    )
    return path


@asynccontextmanager
async def receiver(folder: Path) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Serve with TLS; yields the port and the heads of the requests."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(OK)
            await writer.drain()
        writer.close()

    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1], heads


@asynccontextmanager
async def proxy(to: int, *, refuses: bool = False) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Connect whatever is asked for to a port; yields the proxy's URL and what it was asked for."""
    asked: list[bytes] = []
    serving: set[asyncio.Task[None] | None] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while part := await reader.read(65_536):
                writer.write(part)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        asked.append((await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0])
        if refuses:
            writer.write(REFUSED)
            await writer.drain()
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", to)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))
        await asyncio.gather(writer.wait_closed(), far_writer.wait_closed())

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
        await asyncio.gather(*(task for task in serving if task is not None))


async def never(host: str, port: int) -> Sequence[str]:
    raise AssertionError(f"{host} was looked up")


async def local(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


async def through(url: str, proxy_url: str, folder: Path) -> Answer:
    bundle = (folder / "cert.pem").read_text()
    sender = Sender(AddressRules(), SystemTime(), never, proxy=proxy_url, ca_bundle=bundle)
    return await sender.post(parse_url(url), {"webhook-id": "msg_1"}, b"body", 10)


async def test_a_proxy_is_asked_for_the_name_and_sees_no_request(folder: Path) -> None:
    async with receiver(folder) as (port, heads), proxy(port) as (url, asked):
        assert await through("https://hooks.example/in?token=x", url, folder) == Answer(200)
    assert asked == [b"CONNECT hooks.example:443 HTTP/1.1"]
    [head] = heads
    assert head.startswith(b"POST /in?token=x HTTP/1.1\r\n")
    assert b"webhook-id: msg_1" in head


async def test_a_certificate_is_verified_behind_a_proxy_too(folder: Path) -> None:
    async with receiver(folder) as (port, heads), proxy(port) as (url, _):
        answer = await through("https://other.example/", url, folder)
    assert (answer.status, "certificate" in answer.problem, heads) == (0, True, [])


async def test_what_a_proxy_refuses_is_not_sent_past_it(folder: Path) -> None:
    async with receiver(folder) as (port, heads), proxy(port, refuses=True) as (url, asked):
        answer = await through("https://hooks.example/in?token=x", url, folder)
    assert answer.status == 0
    assert answer.problem.startswith("the connection failed")
    assert (heads, len(asked)) == ([], 1)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://127.0.0.1/", "loopback"),
        ("https://[::ffff:169.254.169.254]/", "link-local"),
        ("https://10.0.0.1/", "not a public address"),
        ("http://hooks.example/", "http:"),
        ("https://hooks.example:8443/", "port 8443"),
    ],
)
async def test_no_proxy_is_asked_for_what_is_not_allowed(
    folder: Path, url: str, reason: str
) -> None:
    async with proxy(9) as (proxy_url, asked):
        answer = await through(url, proxy_url, folder)
    assert reason in answer.problem
    assert (answer.status, asked) == (0, [])


@pytest.mark.parametrize(
    ("host", "bundled", "status"),
    [("hooks.example", True, 200), ("other.example", True, 0), ("hooks.example", False, 0)],
)
async def test_a_certificate_must_be_of_the_name_and_by_a_known_authority(
    folder: Path, host: str, bundled: bool, status: int
) -> None:
    async with receiver(folder) as (port, heads):
        rules = AddressRules(local=frozenset({(host, port)}))
        bundle = (folder / "cert.pem").read_text() if bundled else None
        sender = Sender(rules, SystemTime(), local, ca_bundle=bundle)
        answer = await sender.post(parse_url(f"https://{host}:{port}/"), {}, b"body", 10)
    assert (answer.status, "certificate" in answer.problem) == (status, not status)
    assert len(heads) == (1 if status else 0)
