"""The walk of a resource in docs/architecture.md names every file that it passes."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from support.kube.fake_cluster import FakeCluster
from support.kube.leading import ENDPOINT, leading, reason, resource
from support.paths import ROOT
from support.redis.server import RedisServer

PAGE = (ROOT / "docs" / "architecture.md").read_text()
WALK = PAGE.partition("### A resource, from")[2].partition("\n## ")[0]
FILE = re.compile(r"`([\w/]+\.py)`")
OPERATOR = re.compile(r"/asyncendpoints_operator/(.+\.py)$")
THREAD = "kube/watch.py"
"""kopf's thread: its events are put into the cache directly here."""


def named() -> tuple[set[str], set[str]]:
    """Return the files of the page's list, and all others that it names for the walk."""
    steps = "\n".join(line for line in WALK.splitlines() if re.match(r"\d+\. | ", line))
    return set(FILE.findall(steps)), set(FILE.findall(WALK))


@contextmanager
def traced(files: set[str]) -> Iterator[None]:
    """Add the files of the operator whose functions are called."""

    def called(frame: FrameType, event: str, _: Any) -> None:
        found = OPERATOR.search(frame.f_code.co_filename) if event == "call" else None
        if found is not None:
            files.add(found[1])

    sys.setprofile(called)
    try:
        yield
    finally:
        sys.setprofile(None)


async def test_the_page_names_every_file() -> None:
    cluster, passed = FakeCluster(), set[str]()
    with RedisServer() as server:
        async with leading(cluster):
            with traced(passed):
                cluster.save(resource(server.url))
                await cluster.until(lambda: reason(cluster, "QueueReachable") == "Reachable")
        assert ENDPOINT.path in cluster.objects
    steps, names = named()
    assert passed - names == set()
    assert steps - passed == {THREAD}
