"""Servers that speak TLS themselves, with a certificate of a private authority."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.store.redis import RedisStore
from support.ports import free_port
from support.redis.binaries import server_binary
from support.redis.cluster import wait_until
from support.redis.sentinel import SingleSentinel
from support.redis.server import RedisServer
from support.redis.tls import certificates
from support.store.stores import hand, new, put


@pytest.fixture
def tls(tmp_path: Path) -> dict[str, Any]:
    """Return what makes a server speak TLS, but its port."""
    command = [server_binary(), "--port", "0", "--tls-port", "1"]
    ended = subprocess.run(command, capture_output=True, timeout=10, check=False)
    if b"No tls-cert-file" not in ended.stdout:
        pytest.skip("this redis-server was built without TLS")
    certificates(tmp_path)
    return {
        "tls-cert-file": str(tmp_path / "cert.pem"),
        "tls-key-file": str(tmp_path / "key.pem"),
        "tls-ca-cert-file": str(tmp_path / "cert.pem"),
        "tls-auth-clients": "no",
    }


async def use(url: str) -> None:
    """Submit a job, and claim it on a connection of its own."""
    store = RedisStore(url, "tests/reports")
    try:
        await store.open()
        await put(store, new())
        worker = await hand(store)
        assert len((await worker.claim_next(1_000)).jobs) == 1
    finally:
        await store.close()


async def refused(url: str) -> str:
    with pytest.raises(StoreUnavailable) as caught:
        await use(url)
    return str(caught.value)


async def test_sentinels_and_their_master(tls: dict[str, Any]) -> None:
    port, tls_port = free_port(), free_port()
    tls["tls-replication"] = "yes"  # a Sentinel's connections to the master too
    with RedisServer(**tls, tls_port=port):
        sentinel = SingleSentinel(port, quorum=2, **tls, **{"tls-port": str(tls_port)})
        try:
            wait_until(lambda: "down" not in sentinel.state()["flags"], "a master that is up")
            url = f"rediss+sentinel://127.0.0.1:{tls_port}/main"
            await use(f"{url}?ssl_ca_certs={tls['tls-ca-cert-file']}")
            assert "the certificate is not accepted" in await refused(url)
            assert "cannot be reached" in await refused(url.replace("rediss", "redis"))
        finally:
            sentinel.close()


async def test_a_cluster(tls: dict[str, Any]) -> None:
    port = free_port()
    cluster: dict[str, Any] = {"cluster-enabled": "yes", "tls-cluster": "yes", "tls-port": port}
    with RedisServer(**tls, **cluster) as server:
        with Redis.from_url(server.url) as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            wait_until(lambda: b"cluster_state:ok" in _info(client), "a cluster")
        url = f"rediss+cluster://127.0.0.1:{port}"
        await use(f"{url}?ssl_ca_certs={tls['tls-ca-cert-file']}")
        assert "the certificate is not accepted" in await refused(url)


def _info(client: Redis) -> bytes:
    info: Any = client.execute_command("CLUSTER", "INFO")
    return info if isinstance(info, bytes) else str(info).encode()
