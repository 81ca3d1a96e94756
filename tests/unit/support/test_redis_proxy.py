"""The proxy drops exactly the replies that it should drop."""

import asyncio
import time

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from support.redis.proxy import Command, ReplyDroppingProxy
from support.redis.resp import decode_command, take_messages

WHOLE = [
    b"+OK\r\n",
    b"-ERR no\r\n",
    b":12\r\n",
    b"$-1\r\n",
    b"$0\r\n\r\n",
    b"$4\r\n\r\n\r\n\r\n",
    b"*-1\r\n",
    b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
    b"%1\r\n+a\r\n*0\r\n",
    b"|1\r\n+ttl\r\n:3\r\n+value\r\n",
    b">2\r\n+message\r\n+x\r\n",
    b"_\r\n",
    b",1.5\r\n",
    b"#t\r\n",
    b"=5\r\ntxt:a\r\n",
]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_messages_are_found_whole_however_they_arrive(size: int) -> None:
    stream, buffer, found = b"".join(WHOLE), bytearray(), []
    for start in range(0, len(stream), size):
        buffer += stream[start : start + size]
        found += take_messages(buffer)
    assert found == WHOLE
    assert not buffer


def test_a_command_is_decoded() -> None:
    assert decode_command(b"*2\r\n$3\r\nget\r\n$2\r\n\r\n\r\n") == [b"GET", b"\r\n"]


def client_of(proxy: ReplyDroppingProxy, protocol: int = 2) -> Redis:
    """A client that never retries by itself."""
    return Redis.from_url(
        proxy.url, retry=Retry(NoBackoff(), 0), socket_timeout=1, protocol=protocol
    )


def increments(key: bytes) -> Command:
    return [b"INCRBY", key, b"1"]


@pytest.mark.parametrize("protocol", [2, 3])
async def test_the_second_reply_is_lost_after_the_server_acted(
    redis_proxy: ReplyDroppingProxy, protocol: int
) -> None:
    async with client_of(redis_proxy, protocol) as client:
        fault = redis_proxy.drop_reply(lambda command: command == increments(b"a"), k=2)
        assert await client.incr("a") == 1
        assert await client.incr("b") == 1
        with pytest.raises(RedisConnectionError):
            await client.incr("a")
        await fault.happened.wait()
        assert await client.get("a") == b"2"
        assert await client.incr("a") == 3
        assert redis_proxy.commands["INCRBY"] == 4


async def test_a_lost_request_never_reaches_the_server(redis_proxy: ReplyDroppingProxy) -> None:
    async with client_of(redis_proxy) as client:
        redis_proxy.drop_request(lambda command: command[0] == b"INCRBY")
        with pytest.raises(RedisConnectionError):
            await client.incr("a")
        assert await client.get("a") is None


async def test_a_stalled_reply_keeps_the_connection_open(redis_proxy: ReplyDroppingProxy) -> None:
    async with client_of(redis_proxy) as client:
        redis_proxy.drop_reply(lambda command: command[0] == b"INCRBY", stall=True)
        with pytest.raises(RedisTimeoutError):
            await client.incr("a")
        assert await client.get("a") == b"1"


async def test_a_reply_inside_a_pipeline_is_lost_alone(redis_proxy: ReplyDroppingProxy) -> None:
    async with client_of(redis_proxy) as client:
        redis_proxy.drop_reply(lambda command: command == increments(b"b"))
        pipe = client.pipeline(transaction=False)
        for key in "abc":
            pipe.incr(key)
        with pytest.raises(RedisConnectionError):
            await pipe.execute()
        assert await client.mget("a", "b", "c") == [b"1", b"1", b"1"]


async def test_refusing_cutting_and_accepting_again(redis_proxy: ReplyDroppingProxy) -> None:
    async with client_of(redis_proxy) as client:
        blocked = asyncio.ensure_future(client.blpop(["never"], timeout=0))
        started = redis_proxy.drop_request(lambda command: command[0] == b"GET", stall=True)
        other = asyncio.ensure_future(client.get("a"))
        await started.happened.wait()
        redis_proxy.refuse()
        for cut in (blocked, other):
            with pytest.raises((RedisConnectionError, RedisTimeoutError)):
                await cut
        with pytest.raises(RedisConnectionError):
            await client.ping()
        await redis_proxy.start()
        assert await client.ping()
        redis_proxy.cut()


async def test_replies_are_held_back(redis_proxy: ReplyDroppingProxy) -> None:
    async with client_of(redis_proxy) as client:
        await client.ping()
        redis_proxy.delay = 0.05
        start = time.monotonic()
        await client.ping()
        assert time.monotonic() - start >= 0.05  # a lower bound, which holds on any machine


async def test_a_reply_is_cut_in_the_middle(redis_proxy: ReplyDroppingProxy) -> None:
    redis_proxy.drop_reply(lambda command: command[0] == b"ECHO", half=True)
    reader, writer = await asyncio.open_connection("127.0.0.1", redis_proxy.port)
    writer.write(b"*2\r\n$4\r\nECHO\r\n$8\r\nabcdefgh\r\n")
    assert await reader.read() == b"$8\r\nabc"
    writer.close()


async def test_silent_connections_stay_open_and_new_ones_work(
    redis_proxy: ReplyDroppingProxy,
) -> None:
    async with client_of(redis_proxy) as client:
        await client.ping()
        redis_proxy.fall_silent()
        with pytest.raises(RedisTimeoutError):
            await client.ping()
        assert await client.ping()


async def test_a_narrow_connection_carries_everything(redis_proxy: ReplyDroppingProxy) -> None:
    redis_proxy.bytes_per_second = 100_000
    async with client_of(redis_proxy) as client:
        await client.set("a", b"x" * 10_000)
        assert await client.get("a") == b"x" * 10_000
