"""A Redis user for one endpoint: everything the store does, nothing of anybody else."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ResponseError

import asyncendpoints_core.store as store_package
from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.policy import Policy
from asyncendpoints_core.jobs.records import NewJob, Request, Result
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.redis import RedisConnection, RedisStore
from asyncendpoints_core.store.redis.notifications import listen
from asyncendpoints_core.store.redis.ownership import Directory
from asyncendpoints_core.store.redis.users import (
    COMMANDS,
    UsersForbidden,
    delete_user,
    ensure_user,
    url_of,
    user_of,
    users,
)
from asyncendpoints_core.store.replies import Cause, Identity, LeaseRenewal, WorkerInfo
from support.redis.server import RedisServer

LUA = Path(store_package.__path__[0]) / "lua"
ENDPOINT = "demo/reports"
ME = Identity("here", "uid-1")


def new_job(delay_ms: int = 0) -> NewJob:
    request = Request("POST", "/run", body=b"x" * 2_000)
    return NewJob(ids.new(1_700_000_000_000), "run", request, 3, delay_ms=delay_ms)


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    with RedisServer(requirepass="owner") as one:
        yield one


@pytest.fixture
async def owner(server: RedisServer) -> AsyncIterator[RedisConnection]:
    connection = RedisConnection(server.url)
    yield connection
    await connection.close()


@pytest.fixture
async def tenant(server: RedisServer, owner: RedisConnection) -> AsyncIterator[RedisStore]:
    await ensure_user(owner, ENDPOINT, "secret")
    store = RedisStore(url_of(server.url, ENDPOINT, "secret"), ENDPOINT)
    await store.open()
    yield store
    await store.close()


def test_every_command_of_every_script_is_allowed() -> None:
    text = "".join(file.read_text("utf-8") for file in LUA.rglob("*.lua"))
    called = {name.lower() for name in re.findall(r"call\(\s*'([A-Z]+)'", text)}
    assert called - set(COMMANDS) <= {"spublish"}
    assert len(called) > 20


async def test_a_tenant_can_do_everything_a_store_does(tenant: RedisStore) -> None:
    await tenant.configure(Policy(), ME)
    async with tenant.events() as events:
        async for event in events:
            assert event.job_id is None
            break
        await tenant.register(WorkerInfo("w", "pod", "nonce", 2))
        waiting = asyncio.create_task(tenant.wait_for_work("w", 30_000))
        while not await idle(tenant):
            pass
        first, second, third = new_job(), new_job(), new_job(60_000)
        await tenant.enqueue([first, second, third])
        assert await waiting
        batch = await tenant.claim("w", 1, 2)
        assert len(batch.jobs) == 2
        one, two = (claimed.claim for claimed in batch.jobs)
        await tenant.progress([(one, jobs.Progress(0.5))])
        await tenant.settle([jobs.complete(one, Result("text/plain", b"done"))])
        await tenant.heartbeat([LeaseRenewal("w", 1)])
        await tenant.reconcile("w", [two])
        await tenant.cordon(["w"], 10, "me")
        await tenant.uncordon(["w"], "me")
        assert (await tenant.workers())[0].held == 1
        await tenant.release_worker("w", Cause.LOST)
        await tenant.cancel([second.id, third.id])
        await tenant.redrive([second.id])
        await tenant.get([first.id])
        await tenant.result(first.id)
        await tenant.list(None, 10, None)
        await tenant.list(State.COMPLETED, 10, None)
        await tenant.recover()
        await tenant.sweep()
        await tenant.pause()
        await tenant.resume()
        await tenant.delete([first.id])
        assert (await tenant.stats()).counts[State.QUEUED] == 1
        await tenant.close_queue()
        await tenant.reopen_queue()
        await tenant.close_queue()
        assert await tenant.purge()


async def idle(store: RedisStore) -> int:
    """How many workers wait for the bell."""
    (count,) = await store._caller.send([("ZCARD", store._caller.prefix + "idle")])
    return int(count)


async def test_a_tenant_sees_nothing_else(server: RedisServer, tenant: RedisStore) -> None:
    url = url_of(server.url, ENDPOINT, "secret")
    with Redis.from_url(server.url) as administrator:
        administrator.hset("aep:{other/endpoint}:meta", "schema", 1)
    with Redis.from_url(url, driver_info=None) as client:
        for command in (
            ("HGETALL", "aep:{other/endpoint}:meta"),
            ("EVAL", "return redis.call('HGETALL', KEYS[1])", "1", "aep:{other/endpoint}:meta"),
            ("EVAL", "return redis.call('GET', 'aep:{other/endpoint}:watch')", "0"),
            ("SUBSCRIBE", "aep:{other/endpoint}:events"),
            ("PSUBSCRIBE", "aep:*"),
            ("PUBLISH", "aep:{other/endpoint}:events", "x"),
            ("KEYS", "*"),
            ("SCAN", "0"),
            ("CONFIG", "GET", "*"),
            ("ACL", "WHOAMI"),
            ("FLUSHALL",),
            ("MONITOR",),
            ("CLIENT", "LIST"),
            ("SCRIPT", "FLUSH"),
            ("SHUTDOWN",),
        ):
            with pytest.raises(ResponseError, match=r"(?i)permission|can't access"):
                client.execute_command(*command)
    other = RedisStore(url, "other/endpoint")
    with pytest.raises(StoreUnavailable, match="does not permit"):
        await other.open()
    await other.close()


async def test_a_user_is_renewed_and_taken_away(
    server: RedisServer, owner: RedisConnection
) -> None:
    await ensure_user(owner, ENDPOINT, "one")
    await ensure_user(owner, ENDPOINT, "two")
    with Redis.from_url(server.url) as administrator:
        for password, works in (("one", False), ("two", True)):
            store = RedisStore(url_of(server.url, ENDPOINT, password), ENDPOINT)
            if works:
                await store.open()
            else:
                with pytest.raises(StoreUnavailable, match="refused the credentials"):
                    await store.open()
            await store.close()
        await delete_user(owner, ENDPOINT)
        assert user_of(ENDPOINT) not in administrator.acl_users()


async def test_a_server_that_forbids_users_says_so(server: RedisServer) -> None:
    with Redis.from_url(server.url) as administrator:
        administrator.acl_setuser(
            "limited", enabled=True, passwords=["+pw"], keys=["*"], commands=["+@all", "-acl"]
        )
    url = server.url.replace("redis://:owner@", "redis://limited:pw@")
    connection = RedisConnection(url)
    with pytest.raises(UsersForbidden):
        await ensure_user(connection, ENDPOINT, "secret")
    await connection.close()


async def test_a_namesake_adopts_what_was_left(owner: RedisConnection) -> None:
    store = RedisStore(owner, ENDPOINT)
    await store.open()
    await store.configure(Policy(), ME)
    await store.note(secret="abc", deleted="")
    job = new_job()
    await store.enqueue([job])
    await store.close_queue()
    found = await store.ownership()
    assert (found.owner, found.closed, found.notes["secret"]) == (ME, True, "abc")
    assert not await store.adopt(Identity("elsewhere", "uid-1"), "uid-2")
    assert await store.adopt(ME, "uid-2")
    found = await store.ownership()
    assert (found.owner, found.closed) == (Identity("here", "uid-2"), False)
    assert (await store.get([job.id]))[0].job is not None


async def test_the_directory_lists_the_endpoints(owner: RedisConnection) -> None:
    here, there = Directory(owner, "here"), Directory(owner, "there")
    await here.add("demo/b", "demo/a")
    assert (await here.names(), await there.names()) == (["demo/a", "demo/b"], [])
    await here.remove("demo/a")
    assert await here.names() == ["demo/b"]


async def test_push_names_the_endpoint_that_changed(owner: RedisConnection) -> None:
    notified: asyncio.Queue[str] = asyncio.Queue()
    listening = asyncio.Event()
    task = asyncio.create_task(listen(owner, notified.put_nowait, listening.set, list))
    await listening.wait()
    quiet, loud = RedisStore(owner, "demo/quiet"), RedisStore(owner, "demo/loud")
    for store in (quiet, loud):
        await store.open()
    await loud.request_notifications(30)
    await quiet.enqueue([new_job()])
    await loud.enqueue([new_job()])
    assert await notified.get() == "demo/loud"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_owner_sees_which_users_there_are_and_a_tenant_may_not(
    server: RedisServer, owner: RedisConnection, tenant: RedisStore
) -> None:
    assert await users(owner) == {"default", user_of(ENDPOINT)}
    connection = RedisConnection(url_of(server.url, ENDPOINT, "secret"))
    with pytest.raises(UsersForbidden):
        await users(connection)
    await connection.close()
    await delete_user(owner, ENDPOINT)
    assert await users(owner) == {"default"}
