"""Requests to real receivers on this machine, well behaved and not."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.resource.receiver_urls import parse_url
from asyncendpoints_gateway.webhooks.addresses import AddressRules, networks
from asyncendpoints_gateway.webhooks.sending import Answer, Sender

Reply = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Names:
    """Answers lookups one after the other; the last answer stands."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.hosts: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.hosts.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@asynccontextmanager
async def receiver(reply: Reply, host: str = "127.0.0.1") -> AsyncIterator[tuple[int, list[bytes]]]:
    """Serve `reply` after each request; yields the port and the requests' heads."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            heads.append(head)
            await reader.readexactly(4)
            await reply(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heads


def fixed(answer: bytes) -> Reply:
    async def reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    return reply


async def post(
    port: int,
    *,
    rules: AddressRules | None = None,
    names: Names | None = None,
    seconds: float = 10,
    url: str = "http://hooks.example:{}/in?a=%2F",
) -> Answer:
    names = names or Names(["127.0.0.1"])
    rules = rules or AddressRules(local=frozenset({("hooks.example", port)}))
    sender = Sender(rules, SystemTime(), names)
    headers = {"webhook-id": "msg_1", "Content-Type": "application/json"}
    return await sender.post(parse_url(url.format(port)), headers, b"body", seconds)


async def test_a_receiver_gets_the_request_as_it_is() -> None:
    async with receiver(fixed(OK)) as (port, heads):
        answer = await post(port)
    assert answer == Answer(200)
    assert answer.delivered
    [head] = heads
    assert head.startswith(b"POST /in?a=%2F HTTP/1.1\r\n")
    assert f"Host: hooks.example:{port}".encode() in head
    assert b"webhook-id: msg_1" in head


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_a_failure_and_never_followed(status: int) -> None:
    text = f"HTTP/1.1 {status} Moved\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"
    async with receiver(fixed(text.encode())) as (port, heads):
        answer = await post(port)
    assert (answer.status, answer.delivered, len(heads)) == (status, False, 1)


async def test_retry_after_is_read() -> None:
    text = b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"
    async with receiver(fixed(text)) as (port, _):
        assert await post(port) == Answer(503, "", 7)


async def test_an_endless_answer_is_read_to_its_bound() -> None:
    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
        for _part in range(1_024):
            writer.write(b"x" * 1_048_576)
            await writer.drain()
        raise AssertionError("all of it was read")

    async with receiver(endless) as (port, _):
        assert await post(port) == Answer(200)


async def test_a_status_counts_when_the_rest_never_comes() -> None:
    async def stuck(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")
        await reader.read(1)

    async with receiver(stuck) as (port, _):
        assert await post(port, seconds=0.2) == Answer(200)
    async with receiver(fixed(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")) as (port, _):
        assert await post(port) == Answer(200)


async def test_without_a_status_the_reason_is_reported() -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async with receiver(silent) as (port, _):
        assert await post(port, seconds=0.1) == Answer(0, "no answer within 0.1 s")
    async with receiver(fixed(b"HTTP/1.1 20")) as (port, _):
        assert (await post(port)).problem.startswith("the connection failed")
    assert (await post(port)).problem.startswith("the connection failed")  # nobody listens


@pytest.mark.parametrize("status", ["000", "001", "099"])
async def test_a_status_that_http_does_not_have_is_none(status: str) -> None:
    """The small numbers are reasons of our own, such as that a secret is not valid."""
    async with receiver(fixed(f"HTTP/1.1 {status} X\r\n\r\n".encode())) as (port, _):
        assert await post(port) == Answer(0, "the answer's status is not one of HTTP")


async def test_a_receiver_without_tls_is_no_https_receiver() -> None:
    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        answer = await post(port, url="https://hooks.example:{}/")
    assert (answer.status, "TLS" in answer.problem) == (0, True)


async def test_a_name_is_resolved_once_and_only_that_address_connected_to() -> None:
    """A name server that changes its answer between check and connection gains nothing."""
    async with receiver(fixed(OK)) as (port, heads):
        rules = AddressRules(private=networks("192.0.2.0/24"), ports=frozenset({port}))
        names = Names(["192.0.2.1"], ["127.0.0.1"])
        answer = await post(port, rules=rules, names=names, seconds=0.3)
        assert (answer.status, heads, names.hosts) == (0, [], ["hooks.example"])
        answer = await post(port, rules=rules, names=names)
        assert "127.0.0.1, which is loopback" in answer.problem
        assert heads == []


async def test_one_refused_address_refuses_all() -> None:
    async with receiver(fixed(OK)) as (port, heads):
        rules = AddressRules(private=networks("10.0.0.0/8"), ports=frozenset({port}))
        answer = await post(port, rules=rules, names=Names(["10.0.0.1", "127.0.0.1"]))
    assert "loopback" in answer.problem
    assert heads == []


async def test_several_addresses_are_tried_in_order() -> None:
    async with receiver(fixed(OK), "127.0.0.3") as (port, heads):
        names = Names(["127.0.0.2", "127.0.0.3"])
        assert await post(port, names=names) == Answer(200)
    assert len(heads) == 1


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:{}/", "loopback"),
        ("http://[::1]:{}/", "loopback"),
        ("http://[::ffff:127.0.0.1]:{}/", "loopback"),
        ("http://169.254.169.254/latest", "link-local"),
        ("https://8.8.8.8:9/", "port 9"),
        ("http://8.8.8.8/", "http:"),
        ("http://hooks.example:{}/", "loopback"),
    ],
)
async def test_what_is_not_allowed_is_not_connected_to(url: str, reason: str) -> None:
    async with receiver(fixed(OK)) as (port, heads):
        rules = AddressRules(ports=frozenset({port}))
        answer = await post(port, rules=rules, url=url)
    assert reason in answer.problem
    assert (answer.status, heads) == (0, [])


async def test_no_address_is_a_failed_try() -> None:
    answer = await post(443, names=Names([]))
    assert (answer.status, answer.problem) == (0, "the connection failed (OSError)")


async def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiver(fixed(OK)) as (port, _):
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        assert await post(port) == Answer(200)


async def test_an_address_that_does_not_react_leaves_time_to_the_others() -> None:
    """As where a name has an IPv6 address whose packets are dropped on the way."""
    async with receiver(fixed(OK), "127.0.0.3") as (port, heads), AsyncExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.2", port), backlog=0))
        full.setblocking(False)
        for _ in range(3):  # its queue of connections that nobody accepts: further ones hang
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.2", port))
        answer = await post(port, names=Names(["127.0.0.2", "127.0.0.3"]), seconds=4)
        assert (answer, len(heads)) == (Answer(200), 1)
        answer = await post(port, names=Names(["127.0.0.3", "127.0.0.2"]), seconds=4)
        assert (answer, len(heads)) == (Answer(200), 2)
