"""Which Redis an endpoint is on, and what is said when there is none."""

import base64
from typing import Any

import pytest

from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_operator.kube.client import Ref, Refused
from asyncendpoints_operator.queues.redis_locations import RedisLocation, RedisLocations
from asyncendpoints_operator.status.observed import Queue, QueueReason
from support.kube.fake_cluster import FakeCluster, Manifest
from support.resources import MINIMAL, merge

URL = "redis://user:secret@redis.demo:6379/0"


class Cluster(FakeCluster):
    """Counts how often Secrets were read, and can forbid it."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.forbidden = False

    async def get(self, ref: Ref) -> Manifest:
        self.reads += 1
        if self.forbidden:
            raise Refused(403, "Forbidden", "")
        return await super().get(ref)


@pytest.fixture
async def cluster() -> Cluster:
    return Cluster()


def endpoint(**redis: Any) -> AsyncEndpoint:
    return AsyncEndpoint.parse(merge(MINIMAL, {"spec": {"redis": redis}}))


FROM_SECRET = endpoint(secretRef={"name": "redis", "key": "url"})


def secret(cluster: FakeCluster, **data: bytes) -> None:
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    metadata = {"name": "redis", "namespace": "demo"}
    cluster.save({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded})


async def test_a_url_in_the_resource(cluster: Cluster) -> None:
    found = await RedisLocations(cluster, None).find(endpoint(url="redis://redis.demo:6379/0"))
    assert isinstance(found, RedisLocation)
    assert (found.source(), found.own) == ("redis://redis.demo:6379/0", False)


async def test_the_url_of_a_secret_is_cached_and_shown_without_credentials(
    cluster: Cluster,
) -> None:
    secret(cluster, url=URL.encode())
    locations = RedisLocations(cluster, None)
    for _ in range(2):
        found = await locations.find(FROM_SECRET)
        assert isinstance(found, RedisLocation)
        assert (found.source(), found.identity) == (URL, "redis://redis.demo:6379/0")
    assert cluster.reads == 1
    secret(cluster, url=b"redis://elsewhere:6379")
    found = await locations.find(FROM_SECRET, fresh=True)
    assert isinstance(found, RedisLocation)
    assert found.source() == "redis://elsewhere:6379"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"other": b"x"}, 'Secret redis has no entry "url"'),
        ({"url": b"\xff"}, 'Secret redis: "url" is not valid text'),
        ({"url": b"redis.demo"}, 'Secret redis: "url" is not a Redis URL'),
        *(
            (
                {"url": f"redis://:{password}@redis.demo:6379/0".encode()},
                'Secret redis: "url": the Redis URL redis://:***@redis.demo:6379/0 is not valid: '
                "percent-encode special characters of the user name and password",
            )
            for password in ("a[b", "a[secret]b", "p\uff20ss")
        ),
        (
            {"url": b"redis://:a/b@redis.demo:6379/0"},
            'Secret redis: "url": the Redis URL redis://:***@redis.demo:6379/0 is not valid: '
            'write "/" and "?" in a password as %2F and %3F',
        ),
        (None, "Secret redis does not exist"),
    ],
)
async def test_a_secret_without_a_url(
    cluster: Cluster, data: dict[str, bytes] | None, message: str
) -> None:
    if data is not None:
        secret(cluster, **data)
    found = await RedisLocations(cluster, None).find(FROM_SECRET)
    assert found == Queue(QueueReason.SECRET_MISSING, message)


async def test_a_secret_that_may_not_be_read(cluster: Cluster) -> None:
    cluster.forbidden = True
    found = await RedisLocations(cluster, None).find(FROM_SECRET)
    assert isinstance(found, Queue)
    assert found.reason is QueueReason.SECRET_NOT_READABLE
    assert "rbac.secretNamespaces" in found.message


async def test_the_operators_own_redis(cluster: Cluster) -> None:
    found = await RedisLocations(cluster, lambda: URL).find(endpoint())
    assert isinstance(found, RedisLocation)
    assert (found.source(), found.own) == (URL, True)
    assert "secret" not in found.name + found.identity

    def missing() -> str:
        raise UsageError("the file is empty")

    assert (await RedisLocations(cluster, None).find(endpoint())) == Queue(
        QueueReason.NOT_CONFIGURED, "the operator has no Redis of its own: name one in spec.redis"
    )
    found = RedisLocations(cluster, missing).own()
    assert isinstance(found, Queue)
    assert found.reason is QueueReason.UNREACHABLE


async def test_a_secret_that_the_api_server_cannot_read_is_known_from_before(
    cluster: Cluster,
) -> None:
    secret(cluster, url=URL.encode())
    locations = RedisLocations(cluster, None)
    assert locations.known(FROM_SECRET) is None
    await locations.find(FROM_SECRET)
    cluster.read_errors["Secret"] = Refused(500, "InternalError", "cannot be decrypted")
    with pytest.raises(Refused):
        await locations.find(FROM_SECRET, fresh=True)
    known = locations.known(FROM_SECRET)
    assert known is not None
    assert known.source() == URL


async def test_a_url_in_the_resource_that_is_not_valid_is_no_internal_error(
    cluster: Cluster,
) -> None:
    wrong = "redis://redis.demo:99999/0"
    valid = endpoint(url="redis://redis.demo:6379/0")
    spec = valid.spec.model_copy(
        update={"redis": valid.spec.redis.model_copy(update={"url": wrong})}
    )
    found = await RedisLocations(cluster, None).find(valid.model_copy(update={"spec": spec}))
    assert isinstance(found, Queue)
    assert found.reason is QueueReason.UNREACHABLE
    found = RedisLocations(cluster, lambda: wrong).own()
    assert isinstance(found, Queue)
    assert found.reason is QueueReason.UNREACHABLE
