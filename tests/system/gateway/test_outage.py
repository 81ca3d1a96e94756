"""Outages of the store: 503 with Retry-After, resent calls, no accepted job is lost."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import aiohttp
import pytest
from redis import Redis

from asyncendpoints_core.errors import (
    StoreError,
    StoreUnavailable,
    StoreUnsupported,
    StoreVersionError,
)
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import NewJob
from asyncendpoints_core.process.settings import Settings
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.redis import RedisConnection, RedisStore
from asyncendpoints_core.store.replies import Enqueued, Health, Stats
from asyncendpoints_gateway.server.serve import Server, serve
from support.http.fixtures import http_mode
from support.http.gateway import Site, endpoint, parse_events, serving
from support.ports import free_port
from support.redis.proxy import ReplyDroppingProxy
from support.redis.server import RedisServer
from support.store.stores import higher_version

__all__ = ["http_mode"]

JOB = "018f0000-0000-7000-8000-000000000000"
LIMIT = 5.0
"""Seconds: a connect timeout and a reply timeout of these tests, and what a busy machine adds."""


def _unavailable(answer: Any) -> None:
    answer.problem("store-unavailable", 503)
    assert int(answer.headers["Retry-After"]) >= 1


class Away(MemoryStore):
    """A memory store that can become unavailable, before or after it executes a call."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.lose = 0
        self.error: Exception = StoreUnavailable("taken away")
        self.calls: list[Sequence[Any]] = []
        self.refused = asyncio.Event()

    async def _touch(self) -> None:
        if self.away:
            self.refused.set()
            raise self.error

    async def enqueue(self, jobs: Any) -> Any:
        self.calls.append(jobs)
        await self._touch()
        answers = await super().enqueue(jobs)
        if self.lose:
            self.lose -= 1
            raise self.error
        return answers

    async def get(self, ids: Any) -> Any:
        await self._touch()
        return await super().get(ids)

    async def result(self, job_id: Any) -> Any:
        await self._touch()
        return await super().result(job_id)

    async def cancel(self, ids: Any, **options: Any) -> Any:
        await self._touch()
        return await super().cancel(ids, **options)

    async def list(self, *args: Any) -> Any:
        await self._touch()
        return await super().list(*args)

    async def stats(self) -> Any:
        await self._touch()
        return await super().stats()


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncendpoints_core.store.group_commit.RESEND_SECONDS", (0.0, 0.0))


async def test_every_view_is_503_while_the_store_is_away() -> None:
    store = Away()
    async with serving(store) as site:
        text = ids.text(await site.accepted())
        store.away = True
        for error in (StoreUnavailable("away"), StoreVersionError("newer")):
            store.error = error
            _unavailable(await site.submit())
            _unavailable(await site.ask("GET", f"/jobs/{text}"))
            _unavailable(await site.ask("GET", f"/jobs/{text}?wait=5"))
            _unavailable(
                await site.ask("GET", f"/jobs/{text}", headers={"Accept": "text/event-stream"})
            )
            _unavailable(await site.ask("GET", f"/jobs/{text}/result"))
            _unavailable(await site.ask("DELETE", f"/jobs/{text}"))
            _unavailable(await site.ask("GET", "/jobs"))
        assert (await site.ask("GET", "/docs")).status == 200
        (await site.ask("GET", "/nope")).problem("not-found", 404)
        assert site.server.gateway.is_ready()
        store.away = False
        assert (await site.submit()).status == 202


async def test_a_lost_reply_is_sent_again_under_the_same_id() -> None:
    store = Away()
    async with serving(store) as site:
        for lost in (1, 2):
            store.calls.clear()
            store.lose = lost
            answer = await site.submit()
            assert answer.status == 202
            assert [new.id for [new] in store.calls] == [answer.id] * (lost + 1)
        assert (await store.stats()).totals["created"] == 2


async def test_an_internal_error_is_500_without_details(caplog: pytest.LogCaptureFixture) -> None:
    store = Away()
    async with serving(store) as site:
        store.away = True
        store.error = RuntimeError("secret detail")
        problem = (await site.submit(body="x?y")).problem("internal", 500)
        assert "secret" not in str(problem)
        store.away = False
        assert (await site.submit()).status == 202
    assert "secret detail" in caplog.text


ERRORS = [StoreUnavailable("away"), StoreVersionError("newer"), StoreUnsupported("older")]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
async def test_an_accepted_job_is_202_when_the_store_fails_during_the_wait(
    error: StoreError,
) -> None:
    store = Away()
    async with serving(store) as site:
        waiting = asyncio.create_task(site.submit(Prefer="wait=1"))
        await site.until_waiting()
        store.away, store.error = True, error
        answer = await waiting
        assert answer.status == 202
        assert answer.headers["Location"] == f"/jobs/{answer.json['id']}"


@pytest.mark.parametrize("error", ERRORS, ids=repr)
async def test_a_stream_outlives_an_outage(error: StoreError) -> None:
    store = Away()
    async with serving(store) as site:
        text = ids.text(await site.accepted())
        stream = asyncio.create_task(
            site.ask("GET", f"/jobs/{text}", headers={"Accept": "text/event-stream"})
        )
        await site.until_waiting()
        claimed = await site.claim()
        store.away, store.error = True, error
        hub = site.server.gateway.hub
        hub._wake_all()
        await store.refused.wait()
        store.away = False
        await site.complete(claimed)
        events = parse_events((await asyncio.wait_for(stream, 20)).body)
        assert '"Completed"' in events[-1]["data"]


async def test_not_ready_until_the_store_was_reached_once() -> None:
    class Late(Away):
        async def open(self) -> Any:
            await self._touch()
            return await super().open()

    store = Late()
    store.away = True
    server = Server(endpoint(), store, Settings(http_port=0))
    await server.start()
    try:
        assert not server.gateway.is_ready()
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{server.url}/reports/7") as response:
                assert response.status == 503
            store.away = False
            await asyncio.wait_for(server.gateway.policy.connected.wait(), 20)
            async with session.post(f"{server.url}/reports/7") as response:
                assert response.status == 202
    finally:
        await server.stop()


# With a real Redis


async def test_a_lost_reply_from_redis_makes_one_job(
    redis_proxy: ReplyDroppingProxy, redis_url: str
) -> None:
    store = RedisStore(redis_proxy.url, endpoint().key)
    try:
        async with serving(store) as site:
            await site.accepted()  # the scripts are loaded

            def enqueue(command: list[bytes]) -> bool:
                return command[0] == b"EVALSHA" and any(b"latest" in part for part in command)

            fault = redis_proxy.drop_reply(enqueue)
            answer = await site.submit("/reports/latest")
            assert fault.happened.is_set()
            assert answer.status == 202
            assert (await site.store.stats()).totals["created"] == 2
    finally:
        await store.close()


async def test_a_stopped_redis_is_503_until_it_is_back() -> None:
    with RedisServer(appendonly=True) as redis:
        store = RedisStore(redis.url, endpoint().key)
        try:
            async with serving(store) as site:
                first = await site.accepted()
                redis.stop()
                _unavailable(await site.submit())
                _unavailable(await site.job(first))
                redis.start()
                await _until_served(site)
                assert (await site.job(first)).json["state"] == "Queued"
        finally:
            await store.close()


async def test_jobs_are_accepted_after_the_keys_have_expired(
    redis_url: str,
) -> None:
    store = RedisStore(redis_url, endpoint().key)
    try:
        async with serving(store) as site:
            old = await site.finished()
            with Redis.from_url(redis_url) as client:
                for key in client.keys("aep:*"):
                    client.pexpireat(key, 1)  # as the safety timer does after a month
                assert not client.keys("aep:*")
            (await site.job(old)).problem("job-not-found", 404)
            job_id = await site.accepted()
            assert (await site.record(job_id)).state == "Queued"
    finally:
        await store.close()


@contextmanager
def black_hole() -> Iterator[str]:
    """Yield the URL of an address that drops every packet of a new connection."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):  # the queue of connections that nobody accepts is full then
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


async def _submit_for(site: Site, seconds: float) -> None:
    """Have callers wait at every moment; each is answered 503 in the time that a call may take."""

    async def one(number: int) -> float:
        await asyncio.sleep(seconds * number / 20)
        began = asyncio.get_running_loop().time()
        _unavailable(await (site.submit() if number % 2 else site.ask("GET", f"/jobs/{JOB}")))
        return asyncio.get_running_loop().time() - began

    # In line, the last of them would wait for ten times as long.
    assert max(await asyncio.gather(*map(one, range(20)))) < LIMIT


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def test_callers_share_the_wait_for_an_address_that_drops_packets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("asyncendpoints_core.store.redis.servers.CONNECT_SECONDS", 1.1)
    with black_hole() as url:
        store = RedisStore(url, endpoint().key)
        # It listens before it has reached its store.
        async with serving(store, connected=False) as site:
            await _submit_for(site, 1.5)
        await store.close()


class Unreached(MemoryStore):
    """A store whose calls wait for a server that never answers, until it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.called, self.closed = asyncio.Event(), asyncio.Event()

    async def _wait(self) -> NoReturn:
        await self.closed.wait()
        raise StoreUnavailable("closed")

    async def open(self) -> Health:
        await self._wait()

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        self.called.set()
        await self._wait()

    async def stats(self) -> Stats:
        await self._wait()

    async def close(self) -> None:
        self.closed.set()


async def test_a_gateway_that_never_reached_its_store_ends_at_once() -> None:
    store, stopping = Unreached(), asyncio.Event()
    port = free_port()
    settings = Settings(http_host="127.0.0.1", http_port=port, admin_port=0)
    async with aiohttp.ClientSession() as http, asyncio.timeout(30):
        serving = asyncio.create_task(serve(endpoint(), store, settings, stopping=stopping))
        while not await _listens(port):  # noqa: ASYNC110 - the port has no event
            await asyncio.sleep(0.01)
        held = asyncio.create_task(http.post(f"http://127.0.0.1:{port}/reports/7", json={}))
        await store.called.wait()
        stopping.set()
        assert (await held).status == 503
        await serving


async def test_callers_share_the_wait_for_a_server_that_is_paused() -> None:
    with RedisServer() as redis:
        connection = RedisConnection(redis.url, reply_seconds=1.1)
        store = RedisStore(connection, endpoint().key)
        async with serving(store) as site:
            await site.accepted()
            redis.pause()
            await _submit_for(site, 1.5)
            redis.resume()
            await _until_served(site)
        await connection.close()


async def _until_served(site: Site) -> None:
    async with asyncio.timeout(30):
        while (await site.submit()).status != 202:
            pass


async def test_a_job_of_a_newer_version_is_503_and_others_are_served() -> None:
    store = Away()
    async with serving(store) as site:
        newer, other = await site.accepted(), await site.accepted()
        store._data.records[newer] = higher_version(store._data.records[newer])
        for method, path in (
            ("GET", ""),
            ("GET", "/result"),
            ("DELETE", ""),
            ("DELETE", "?purge=true"),
            ("POST", "/retry"),
        ):
            _unavailable(await site.ask(method, f"/jobs/{ids.text(newer)}{path}"))
        assert (await site.ask("GET", f"/jobs/{ids.text(other)}")).status == 200
        listed = (await site.ask("GET", "/jobs")).json["items"]
        assert [item["id"] for item in listed] == [ids.text(other)]
