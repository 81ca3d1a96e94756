"""Sentinels that are dead, do not answer, or name a wrong server; and the truth beside them."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import pytest
from redis import Redis
from redis.asyncio.sentinel import MasterNotFoundError

from asyncendpoints_core.errors import StoreUnavailable, WorkerGone
from asyncendpoints_core.store.redis import RedisStore, sentinels
from asyncendpoints_core.store.redis.sentinels import Sentinels
from support.ports import free_port
from support.redis.cluster import wait_until
from support.redis.sentinel import RedisSentinel, SingleSentinel
from support.redis.server import RedisServer
from support.store.stores import hand, new, put

ENDPOINT = "tests/reports"
Stray = Callable[..., SingleSentinel]


@pytest.fixture
def stray() -> Iterator[Stray]:
    """Make Sentinels on their own: with a quorum of 2, none fails over."""
    made: list[SingleSentinel] = []

    def make(port: int, **config: str) -> SingleSentinel:
        made.append(SingleSentinel(port, quorum=2, **config))
        return made[-1]

    yield make
    for each in made:
        each.close()


def url_of(*ports: int) -> str:
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return f"redis+sentinel://{hosts}/main"


def jobs_in(server: RedisServer) -> int:
    with Redis.from_url(server.url) as client:
        return len(client.keys("*jobs"))


async def submit(url: str) -> None:
    store = RedisStore(url, ENDPOINT)
    try:
        await store.open()
        await put(store, new())
    finally:
        await store.close()


async def reason(url: str) -> str:
    with pytest.raises(StoreUnavailable) as caught:
        await submit(url)
    return str(caught.value)


async def test_one_that_missed_a_failover_does_not_name_the_former_master(
    redis_sentinel: RedisSentinel, stray: Stray
) -> None:
    master = await asyncio.to_thread(redis_sentinel.failover)
    with RedisServer() as former:
        old = stray(former.port)
        ports = [port for _, port in redis_sentinel.addresses]
        for order in ([old.port, *ports], [*ports, old.port]):
            await submit(url_of(*order))
            assert jobs_in(former) == 0
    assert jobs_in(master) == 1


async def test_during_a_failover_one_of_the_two_is_named(redis_sentinel: RedisSentinel) -> None:
    [first, *_] = redis_sentinel.addresses
    servers = {(each.host, each.port) for each in redis_sentinel.servers}
    failover = asyncio.create_task(asyncio.to_thread(redis_sentinel.failover))
    sentinels, states = Sentinels([first], {"decode_responses": False}), set()
    with Redis(*first, decode_responses=True) as client:
        while not failover.done():
            state: Any = client.sentinel_masters()
            states.add("failover_in_progress" in state["main"]["flags"])
            with suppress(MasterNotFoundError):
                assert await sentinels.discover_master("main") in servers
    assert True in states
    promoted = await failover
    assert await sentinels.discover_master("main") == (promoted.host, promoted.port)
    for each in sentinels.sentinels:
        await each.aclose()


async def test_one_that_names_a_replica_is_passed_over(
    redis_sentinel: RedisSentinel, stray: Stray
) -> None:
    master = redis_sentinel.master
    replica = next(each for each in redis_sentinel.servers if each is not master)
    liar = stray(replica.port)
    ports = [port for _, port in redis_sentinel.addresses]
    wait_until(lambda: liar.state()["role-reported"] == "slave", "a Sentinel that looked")
    await submit(url_of(liar.port, *ports))
    assert "which is a replica" in await reason(url_of(liar.port))


async def test_a_master_that_became_a_replica_is_not_used(stray: Stray) -> None:
    with RedisServer() as former, RedisServer() as master:
        liar = stray(former.port)
        with Redis.from_url(former.url) as client:
            client.replicaof(master.host, str(master.port))
        # The Sentinel itself looks every few seconds; a connection does at once.
        assert "is a replica" in await reason(url_of(liar.port))
        with Redis.from_url(former.url) as client:
            client.replicaof("NO", "ONE")
        wait_until(lambda: liar.state()["role-reported"] == "master", "a Sentinel that looked")
        await submit(url_of(liar.port))


async def test_those_that_do_not_answer_are_passed_over(stray: Stray) -> None:
    with RedisServer() as master, RedisServer() as other:
        good, hanging = stray(master.port), stray(master.port)
        hanging.signal(signal.SIGSTOP)
        dead = free_port()
        locked = stray(master.port, requirepass="secret")
        # The last one is no Sentinel.
        wrong = [hanging.port, dead, locked.port, other.port]
        await submit(url_of(*wrong, good.port))
        await submit(url_of(good.port, *wrong))
        text = await reason(url_of(*wrong))
        assert f"127.0.0.1:{hanging.port} did not answer in time" in text
        assert f"127.0.0.1:{dead} cannot be reached: connection refused" in text
        assert f"127.0.0.1:{locked.port} requires a password" in text
        hanging.signal(signal.SIGCONT)
        await submit(url_of(*wrong))


async def test_one_that_knows_no_master_that_is_up_says_so(stray: Stray) -> None:
    with RedisServer() as master:
        one = stray(master.port)
        assert "does not know other" in await reason(url_of(one.port).replace("main", "other"))
    wait_until(lambda: "s_down" in one.state()["flags"], "a master that is down")
    assert f"calls 127.0.0.1:{master.port} down" in await reason(url_of(one.port))


class Moved(NamedTuple):
    sentinels: list[SingleSentinel]
    former: RedisServer
    master: RedisServer

    @property
    def url(self) -> str:
        return url_of(*(each.port for each in self.sentinels))

    def move(self) -> None:
        for each in self.sentinels:
            each.monitor(self.master.port)


@pytest.fixture
def moved(stray: Stray, monkeypatch: pytest.MonkeyPatch) -> Iterator[Moved]:
    """Two Sentinels whose master can become another one, which never was its replica."""
    monkeypatch.setattr(sentinels, "FOLLOW_SECONDS", 0.05)
    with RedisServer() as former, RedisServer() as master:
        # Of a later configuration than the one that they get: as when they are set up again.
        later = {"sentinel config-epoch main": "3"}
        yield Moved([stray(former.port, **later) for _ in range(2)], former, master)


async def test_open_connections_leave_a_former_master(moved: Moved) -> None:
    """A master that no Sentinel reaches goes on as one; a client may still reach both."""
    store = RedisStore(moved.url, ENDPOINT)
    await store.open()
    worker = await hand(store)
    waiting = asyncio.create_task(worker.claim_next(20_000))
    await put(store, new())
    assert len((await waiting).jobs) == 1
    waiting = asyncio.create_task(worker.claim_next(20_000))
    moved.move()
    # The new master, which the next connection goes to, does not know the worker.
    with pytest.raises((StoreUnavailable, WorkerGone)):
        await waiting
    await put(store, new())
    assert (jobs_in(moved.former), jobs_in(moved.master)) == (1, 1)
    await store.close()


async def test_a_connection_kept_for_the_next_wait_leaves_it_too(moved: Moved) -> None:
    store = RedisStore(moved.url, ENDPOINT)
    await store.open()
    worker = await hand(store)
    assert (await worker.claim_next(50)).jobs == ()
    moved.move()
    await asyncio.to_thread(wait_until, lambda: not clients_of(moved.former), "no connection")
    worker = await hand(store)
    [job] = await put(store, new())
    assert [each.job.id for each in (await worker.claim_next(5_000)).jobs] == [job]
    assert not clients_of(moved.former)
    await store.close()


def clients_of(server: RedisServer) -> int:
    """Return how many connections it has besides this one and those of Sentinels."""
    with Redis.from_url(server.url) as client:
        clients: Any = client.client_list()
    return sum(not each["name"].startswith("sentinel") for each in clients) - 1


async def test_an_older_configuration_does_not_end_a_connection(
    redis_sentinel: RedisSentinel, stray: Stray, monkeypatch: pytest.MonkeyPatch
) -> None:
    master = await asyncio.to_thread(redis_sentinel.failover)
    monkeypatch.setattr(sentinels, "FOLLOW_SECONDS", 0.05)
    with RedisServer() as former:
        old = stray(former.port)
        ports = [port for _, port in redis_sentinel.addresses]
        store = RedisStore(url_of(old.port, *ports), ENDPOINT)
        await store.open()
        redis_sentinel.signal(signal.SIGSTOP)
        await asyncio.sleep(1.5)
        await put(store, new())
        redis_sentinel.signal(signal.SIGCONT)
        await store.close()
        assert (jobs_in(former), jobs_in(master)) == (0, 1)
