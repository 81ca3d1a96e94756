"""The connection that many calls share, on a real server."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from redis import exceptions as redis_errors
from redis.asyncio.connection import Connection

from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.store.redis import transport
from asyncendpoints_core.store.redis.caller import plain
from asyncendpoints_core.store.redis.connection import SharedConnection
from support.redis.server import RedisServer

PING = plain([("PING",)])
SECONDS = 10.0


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A server for all these tests."""
    with RedisServer() as server:
        yield server


async def connect(server: RedisServer) -> Connection:
    """Return a connection of redis-py that is logged in."""
    connection = Connection(port=server.port, protocol=2, driver_info=None, socket_timeout=None)
    await connection.connect()
    return connection


@pytest.fixture(params=["transport", "streams"])
async def shared(
    server: RedisServer, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SharedConnection]:
    """A connection to it, read from the transport and as where redis-py is not as expected."""
    if request.param == "streams":
        monkeypatch.setattr(transport, "_makes_errors", lambda _: False)
    shared = SharedConnection(await connect(server), SystemTime())
    yield shared
    await shared.close()


async def test_each_call_gets_its_own_replies(shared: SharedConnection) -> None:
    calls = [
        shared.call(plain([("ECHO", f"{number}-{part}") for part in range(number)]), SECONDS)
        for number in range(1, 20)
    ]
    for number, replies in enumerate(await asyncio.gather(*calls), 1):
        assert replies == [b"%d-%d" % (number, part) for part in range(number)]


async def test_a_reply_larger_than_a_read_is_whole(shared: SharedConnection) -> None:
    size = 3_000_000
    script = plain([("EVAL", f"return string.rep('x', {size})", "0"), ("PING",)])
    large, small = await shared.call(script, SECONDS)
    assert (len(large), small) == (size, b"PONG")


async def test_error_replies_are_returned(shared: SharedConnection) -> None:
    commands = plain(
        [("NOSUCH",), ("PING",), ("EVAL", "return redis.error_reply('LOADING data')", "0")]
    )
    unknown, pong, loading = await shared.call(commands, SECONDS)
    assert isinstance(unknown, redis_errors.ResponseError)
    assert pong == b"PONG"
    assert isinstance(loading, redis_errors.BusyLoadingError)
    assert await shared.call(PING, SECONDS) == [b"PONG"]


async def test_the_reply_of_a_canceled_call_is_dropped(shared: SharedConnection) -> None:
    slow = asyncio.create_task(shared.call(plain([("BLPOP", "none", "0.3")]), 0.01))
    await asyncio.sleep(0)
    slow.cancel()
    # Nobody waits for its reply, so that one cannot be late.
    assert await shared.call(PING, SECONDS) == [b"PONG"]
    assert shared.broken is None


async def test_a_late_reply_breaks_the_connection(shared: SharedConnection) -> None:
    assert await shared.call(PING, 0.1) == [b"PONG"]
    slow = asyncio.create_task(shared.call(plain([("BLPOP", "none", "0")]), 0.1))
    await asyncio.sleep(0)
    behind = shared.call(PING, SECONDS)
    answers = await asyncio.gather(slow, behind, return_exceptions=True)
    assert [type(each) for each in answers] == [redis_errors.TimeoutError] * 2
    with pytest.raises(redis_errors.TimeoutError):
        await shared.call(PING, SECONDS)


async def test_a_connection_that_the_server_closes_fails_its_calls(
    server: RedisServer, shared: SharedConnection
) -> None:
    (own,) = await shared.call(plain([("CLIENT", "ID")]), SECONDS)
    waiting = asyncio.create_task(shared.call(plain([("BLPOP", "none", "0")]), SECONDS))
    await asyncio.sleep(0)
    other = SharedConnection(await connect(server), SystemTime())
    await other.call(plain([("CLIENT", "KILL", "ID", str(own))]), SECONDS)
    with pytest.raises(redis_errors.ConnectionError, match="closed by server"):
        await waiting
    await other.close()


async def test_a_connection_that_was_closed_before_it_is_shared_is_broken(
    server: RedisServer,
) -> None:
    connection = await connect(server)
    await connection.send_command("QUIT")
    assert connection._reader is not None
    assert await connection.read_response() == b"OK"
    assert await connection._reader.read() == b""
    shared = SharedConnection(connection, SystemTime())
    with pytest.raises(redis_errors.ConnectionError):
        await shared.call(PING, SECONDS)
    await shared.close()


async def test_a_redis_py_that_is_not_as_expected_is_used_as_it_is_public(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    transport._warn.cache_clear()
    for _ in range(2):
        connection = await connect(server)
        connection._reader, hidden = None, connection._reader
        assert transport.wire_of(connection) is None
        connection._reader = hidden
        assert transport.wire_of(connection) is not None
        await connection.disconnect()
    [record] = caplog.records
    assert "is not as expected inside" in record.getMessage()
