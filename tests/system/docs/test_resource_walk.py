"""The walk of a resource in docs/architecture.md names every file that it passes."""

import re

from support.kube.fake_cluster import FakeCluster
from support.kube.leading import ENDPOINT, leading, reason, resource
from support.redis.server import RedisServer
from support.walks import FILE, PAGE, steps, traced

WALK = PAGE.partition("### A resource, from")[2].partition("\n## ")[0]
OPERATOR = re.compile(r"/asyncendpoints_operator/(.+\.py)$")
THREAD = "kube/watch.py"
"""kopf's thread: its events are put into the cache directly here."""


def named() -> tuple[set[str], set[str]]:
    """Return the files of the page's list, and all others that it names for the walk."""
    return set(FILE.findall(steps(WALK))), set(FILE.findall(WALK))


async def test_the_page_names_every_file() -> None:
    cluster, passed = FakeCluster(), set[str]()
    with RedisServer() as server:
        async with leading(cluster):
            with traced(passed, OPERATOR):
                cluster.save(resource(server.url))
                await cluster.until(lambda: reason(cluster, "QueueReachable") == "Reachable")
        assert ENDPOINT.path in cluster.objects
    listed, names = named()
    assert passed - names == set()
    assert listed - passed == {THREAD}
