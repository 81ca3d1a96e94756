"""The same store on a Cluster, behind Sentinels, over a unix socket, with passwords and TLS."""

import asyncio
from pathlib import Path

import pytest
from redis import Redis

from asyncendpoints_core.common.redaction import redact_url
from asyncendpoints_core.errors import StoreUnavailable, UsageError
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.process.settings import read_url
from asyncendpoints_core.store.redis import RedisConnection, RedisStore, servers
from asyncendpoints_core.store.redis.topology import topology_of
from support.ports import free_port
from support.redis.cluster import RedisCluster
from support.redis.sentinel import RedisSentinel
from support.redis.server import RedisServer
from support.redis.tls import TlsFront, certificates
from support.store.stores import DONE, POLICY, hand, new, policy, put
from support.store.verbs import use_everything

ENDPOINT = "tests/reports"


def cluster_url(cluster: RedisCluster) -> str:
    hosts = ",".join(f"{node.host}:{node.port}" for node in cluster.nodes)
    return f"redis+cluster://{hosts}"


@pytest.mark.parametrize("endpoint", [ENDPOINT, "tests/images", "default/c"])
async def test_every_verb_on_a_cluster(redis_cluster: RedisCluster, endpoint: str) -> None:
    store = RedisStore(cluster_url(redis_cluster), endpoint)
    health = await store.open()
    assert health.server
    await use_everything(store)
    await store.close()


async def test_one_connection_to_a_cluster_serves_endpoints_on_every_node(
    redis_cluster: RedisCluster,
) -> None:
    shared = RedisConnection(cluster_url(redis_cluster))
    stores = [RedisStore(shared, f"tests/e{number}") for number in range(12)]
    for number, store in enumerate(stores):
        await store.open()
        await store.configure(POLICY)
        await put(store, *(new() for _ in range(number)))
    slots = {redis_cluster.owner_of(redis_cluster.slot_of(f"{{tests/e{n}}}")) for n in range(12)}
    assert len(slots) > 1
    figures = await asyncio.gather(*(store.stats() for store in stores))
    assert [each.counts[State.QUEUED] for each in figures] == list(range(12))
    await shared.close()
    answers = await asyncio.gather(*(store.stats() for store in stores), return_exceptions=True)
    assert all(isinstance(answer, StoreUnavailable) for answer in answers)


async def test_after_a_move_calls_share_one_connection_again(redis_cluster: RedisCluster) -> None:
    store = RedisStore(cluster_url(redis_cluster), ENDPOINT)
    await store.open()
    slot = redis_cluster.slot_of(f"{{{ENDPOINT}}}")
    target = (redis_cluster.owner_of(slot) + 1) % 3
    await asyncio.to_thread(redis_cluster.migrate, slot, target)
    await store.stats()
    with Redis.from_url(redis_cluster.nodes[target].url) as client:

        def connections() -> int:
            return int(client.info("stats")["total_connections_received"])

        before = connections()
        for _ in range(20):
            await store.stats()
        assert connections() == before
    await store.close()


async def test_a_slot_that_moved_is_followed(redis_cluster: RedisCluster) -> None:
    store = RedisStore(cluster_url(redis_cluster), ENDPOINT)
    await store.open()
    await store.configure(POLICY)
    ids = await put(store, new(), new())
    slot = redis_cluster.slot_of(f"{{{ENDPOINT}}}")
    target = (redis_cluster.owner_of(slot) + 1) % 3
    await asyncio.to_thread(redis_cluster.migrate, slot, target)
    mover = await hand(store, "mover")
    taken = await mover.take()
    assert [job.job.id for job in taken] == ids
    await store.settle([jobs.complete(job.claim, DONE) for job in taken])
    await use_everything(store)
    await store.close()


async def test_a_sentinels_master_is_found_and_found_again(redis_sentinel: RedisSentinel) -> None:
    hosts = ",".join(f"{host}:{port}" for host, port in redis_sentinel.addresses)
    store = RedisStore(f"redis+sentinel://{hosts}/{redis_sentinel.service_name}/0", ENDPOINT)
    await store.open()
    await use_everything(store)
    [job_id] = await put(store, new())
    # Replication is asynchronous: what this asks is that the replica has it before it takes over.
    replies = await store._caller.send([("WAIT", "1", "20000")])
    assert replies == [1]
    await asyncio.to_thread(redis_sentinel.failover)
    [found] = await store.get([job_id])
    assert found.job is not None
    await put(store, new())
    await store.close()


async def test_a_unix_socket_with_a_password() -> None:
    with RedisServer(unix_socket=True, requirepass="s3 cret/@") as server:
        store = RedisStore(server.unix_url, ENDPOINT)
        await store.open()
        await use_everything(store)
        await store.close()


async def test_tls(tmp_path: Path) -> None:
    certificates(tmp_path)
    with RedisServer() as plain:
        port = plain.port
    with RedisServer(
        server="default",  # the others were built without TLS: see test_redis_servers.py
        tls_port=port,
        tls_cert_file=str(tmp_path / "cert.pem"),
        tls_key_file=str(tmp_path / "key.pem"),
        tls_ca_cert_file=str(tmp_path / "cert.pem"),
        tls_auth_clients="no",
    ):
        url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={tmp_path / 'cert.pem'}"
        store = RedisStore(url, ENDPOINT)
        await store.open()
        await use_everything(store)
        await store.close()


async def test_two_endpoints_on_one_server_do_not_meet(redis_url: str) -> None:
    shared = RedisConnection(redis_url)
    one, other = RedisStore(shared, "a/x"), RedisStore(shared, "b/x")
    for store in (one, other):
        await store.open()
    await one.configure(policy(max_depth=1))
    await put(one, new())
    await put(other, new(), new())
    await one.close()  # the connection is its owner's
    assert (await other.stats()).counts[State.QUEUED] == 2
    await shared.close()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:pw@host:1/0", "redis://:***@host:1/0"),
        ("redis://me:p%40w@host/0", "redis://me:***@host/0"),
        ("redis://host/0?password=pw", "redis://host/0?password=***"),
        ("redis+cluster://:pw@a:1,b:2", "redis+cluster://:***@a:1,b:2"),
        ("unix://:pw@/tmp/r.sock?db=0", "unix://:***@/tmp/r.sock?db=0"),
        ("redis://host:1/0", "redis://host:1/0"),
    ],
)
def test_passwords_are_hidden(url: str, shown: str) -> None:
    assert redact_url(url) == shown


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://host", "must begin with redis://"),
        ("host:6379", "must begin with redis://"),
        ("", "must begin with redis://"),
        ("redis://host:port/0", '"host:port" is not HOST:PORT'),
        ("redis://host:99999/0", '"host:99999" is not HOST:PORT'),
        ("redis:// host:1/0", '" host:1" is not HOST:PORT'),
        ("redis://ho st:1/0", '"ho st:1" is not HOST:PORT'),
        ("redis://host;1/0", '"host;1" is not HOST:PORT'),
        ("redis+cluster://a:1, b:1", '" b:1" is not HOST:PORT'),
        ("unix://run/redis.sock", 'write "unix:///run/…"'),
        ("redis://[::1/0", "is not valid"),
        ("redis://:pw@/0", "a host is missing"),
        ("redis://:p#pw@host/0", 'write "#" as %23'),
        ("redis://:p/pw@host/0", 'write "/" and "?" in a password as %2F and %3F'),
        ("redis://user:1/pw@host:6379/0", 'write "/" and "?" in a password as %2F and %3F'),
        ("redis://user:p?pw=x@host:6379", 'write "/" and "?" in a password as %2F and %3F'),
        ("redis://host/abc", 'must be the number of a database, not "abc"'),
        ("redis://host/1/2", 'must be the number of a database, not "1/2"'),
        ("redis://host/-1", "must be the number of a database"),
        ("redis://host/0?db=abc", "must be the number of a database"),
        ("redis://host/0?db=", "must be the number of a database"),
        ("redis://host/1?db=2", "the database is in the path and in db"),
        ("redis://host/0?protocol=3", 'unknown option "protocol"'),
        ("redis://host/0?health_check_interval=1", 'unknown option "health_check_interval"'),
        ("redis://host/0?decode_responses=true", 'unknown option "decode_responses"'),
        ("redis://host/0?socket_timeout=1", 'unknown option "socket_timeout"'),
        ("redis://host/0?socket_connect_timeout=x", 'unknown option "socket_connect_timeout"'),
        ("redis://host/0?max_connections=1", 'unknown option "max_connections"'),
        ("redis://host/0?retry=1", 'unknown option "retry"'),
        ("redis://host/0?ssl_cert_reqs=none", 'unknown option "ssl_cert_reqs"'),
        ("redis://host/0?sentinel_password=pw", 'unknown option "sentinel_password"'),
        ("redis://host/0?client_name=a&client_name=b", '"client_name" is given twice'),
        ("redis://host/0?username=", "username must not be empty"),
        ("rediss://host/0?ssl_cert_reqs=maybe", "must be one of none, optional, required"),
        ("rediss://host/0?ssl_check_hostname=perhaps", "must be one of true, false"),
        ("rediss://:pw@host/0?ssl_ca_certs=/no/ca.pem", "/no/ca.pem is not a file"),
        ("unix://", "the path of the socket is missing"),
        ("unix:///tmp/redis.sock?db=x", "must be the number of a database"),
        ("redis+sentinel://:pw@host:1", "the name of the Sentinel service is missing"),
        ("redis+sentinel://host:1/main/x", "must be the number of a database"),
        ("redis+cluster://", "a host is missing"),
        ("redis+cluster://a:x", '"a:x" is not HOST:PORT'),
        ("redis+cluster://a:1,/0", "a host is missing"),
        ("redis+cluster://a:1/2", "a Cluster has database 0 only"),
        ("redis+cluster://a:1?db=1", 'unknown option "db"'),
    ],
)
def test_a_url_that_is_none_is_refused_in_one_line(url: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        topology_of(url)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://host",
        "redis://host/",
        "redis://user:pw@[::1]:6379/15?client_name=me",
        "redis://host?db=3&username=u&password=p",
        "rediss://host/0?ssl_cert_reqs=none&ssl_check_hostname=false",
        "unix://user:pw@/tmp/redis.sock?db=2",
        "redis+sentinel://:pw@a:1,b/main?sentinel_username=u&sentinel_password=p",
        "redis+sentinel://a:1/main/3",
        "rediss+cluster://u:pw@a:1,b:2/0?ssl_cert_reqs=none",
    ],
)
def test_what_a_url_may_say(url: str) -> None:
    topology_of(url)


async def test_why_it_cannot_be_reached_is_in_one_line(tmp_path: Path) -> None:
    certificates(tmp_path)
    locked = RedisServer(requirepass="right")
    with locked, RedisServer() as server, TlsFront(server) as front:
        trusted = f"?ssl_ca_certs={tmp_path / 'cert.pem'}"
        closed = f"127.0.0.1:{free_port()}"
        expected = {
            f"redis://{closed}/0": "cannot be reached: connection refused",
            "redis://nowhere.invalid/0": "its host name cannot be resolved",
            f"unix://{tmp_path}/none.sock": "cannot be reached: no such file or directory",
            f"rediss://127.0.0.1:{front.port}/0": "TLS: the certificate is not accepted",
            f"rediss://127.0.0.1:{front.port}/0{trusted}": "TLS: the certificate is not accepted",
            f"redis://127.0.0.1:{front.port}/0": "it closed the connection",
            f"redis+sentinel://{closed}/main": "no Sentinel that answers knows the master",
            f"redis+cluster://{closed}": "connection refused",
            f"redis://127.0.0.1:{locked.port}/0": "requires a password",
            f"redis://:wr0ng@127.0.0.1:{locked.port}/0": "refused the credentials: WRONGPASS",
            f"redis://:wr0ng@127.0.0.1:{server.port}/0": "refused the credentials: ",
            f"redis://127.0.0.1:{server.port}/999": "DB index is out of range",
        }
        for url, reason in expected.items():
            store = RedisStore(url, ENDPOINT)
            with pytest.raises(StoreUnavailable) as caught:
                await store.open()
            assert reason in str(caught.value), url
            assert "\n" not in str(caught.value)
            assert "wr0ng" not in str(caught.value)
            await store.close()


async def test_a_url_file_that_is_missing_or_wrong_while_running_is_unavailable(
    tmp_path: Path,
) -> None:
    file = tmp_path / "url"
    with RedisServer() as server:
        file.write_text(server.url)
        store = RedisStore(lambda: read_url(file), ENDPOINT)
        await store.open()
        await asyncio.to_thread(server.restart)
        for content in ("", "no url", "redis://host/abc", "http://host", None):
            if content is None:
                file.unlink()
            else:
                file.write_text(content)
            for _ in range(2):
                with pytest.raises(StoreUnavailable) as caught:
                    await store.stats()
                assert str(file) in str(caught.value) or "the Redis URL" in str(caught.value)
        file.write_text(server.url)
        await store.stats()
        await store.close()


@pytest.mark.parametrize(("scheme", "path"), [("redis", "/1"), ("redis", "/0"), ("rediss", "/0")])
async def test_a_server_that_takes_the_connection_and_never_answers_is_given_up(
    monkeypatch: pytest.MonkeyPatch, scheme: str, path: str
) -> None:
    """A TLS handshake, HELLO and AUTH are all parts of the one attempt."""
    monkeypatch.setattr(servers, "CONNECT_SECONDS", 0.2)
    came, left = 0, asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal came
        came += 1
        await reader.read()
        writer.close()
        await writer.wait_closed()
        left.set()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        url = f"{scheme}://:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}{path}"
        shared = RedisConnection(url)
        stores = [RedisStore(shared, f"tests/e{number}") for number in range(20)]
        answers = await asyncio.gather(*(one.stats() for one in stores), return_exceptions=True)
        assert {type(answer) for answer in answers} == {StoreUnavailable}
        assert "did not answer in time" in str(answers[0])
        assert came == 1  # shared by all, and not repeated: a second one would be as silent
        await shared.close()
        await asyncio.wait_for(left.wait(), 20)
