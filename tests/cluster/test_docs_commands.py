"""The commands of docs/kubernetes.md, troubleshooting.md and operations.md, run verbatim.

All blocks form one script for one shell, in the root of a clone: those of the other pages run
before the deletion at the end of kubernetes.md. Both of its ways to provide images are run, each
with an installation; a cluster that is not the tests' own already has its images.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from support.doc_pages import Block
from support.kube import install
from support.kube.docs_script import Clone, blocks_of, by_hand, start_redis
from support.kube.installed import SYSTEM_NAMESPACE, Installed

PAGE = "docs/kubernetes.md"
SECONDS = 1_500


@pytest.fixture
def clone(installed: Installed, tmp_path: Path) -> Iterator[Clone]:
    """The clone, and a second Redis in namespace `demo`; the old state is restored afterwards."""
    cluster = installed.cluster
    told = cluster.helm(
        "get", "values", "asyncendpoints", "--namespace", SYSTEM_NAMESPACE, "-ojson"
    )
    clone = Clone(cluster, tmp_path)
    if not clone.builds:
        (clone.folder / "values.yaml").write_text(told)
        for resource in install.examples(cluster, installed.images["worker"]):
            name = resource["metadata"]["name"]
            (clone.folder / f"{name}.yaml").write_text(yaml.safe_dump(resource))
    had_demo = cluster.kubectl("get", "namespace", "demo", "--ignore-not-found", "-o", "name")
    if not had_demo:
        cluster.create_namespace("demo")
    start_redis(installed, "demo", "new-redis", "--protected-mode", "no")
    yield clone
    # A worker that exits reports to its Redis and waits for the reply.
    pods = ("pod", "-l", "asyncendpoints.io/endpoint=reports", "--namespace", "demo")
    cluster.kubectl("wait", *pods, "--for=delete", "--timeout=170s")
    install.install_chart(cluster, json.loads(told))
    gone = ("secret/new-redis", "pod/new-redis", "service/new-redis")
    cluster.kubectl("delete", *gone, "--namespace", "demo", "--ignore-not-found", "--wait=false")
    if not had_demo:
        cluster.kubectl("delete", "namespace", "demo", "--ignore-not-found", "--wait=false")


def blocks(*, builds: bool) -> list[Block]:
    """The blocks of the pages in an order in which one reader could run them."""
    first = blocks_of(PAGE, after="## 2.", before="## 3.")
    rest = [
        *blocks_of(PAGE, after="## 3.", before="## 9."),
        *blocks_of("docs/troubleshooting.md"),
        *blocks_of("docs/operations.md"),
        *blocks_of(PAGE, after="## 9."),
    ]
    if builds:
        kind, registry = by_hand(PAGE, "needs Docker"), by_hand(PAGE, "needs a registry")
        first = [kind, *first, registry, *first]
    return [*first, *(block for block in rest if block.by_hand is None)]


@pytest.mark.timeout(SECONDS + 600, func_only=True)
def test_every_command_of_the_pages_runs(clone: Clone) -> None:
    said = clone.run(blocks(builds=clone.builds), seconds=SECONDS)
    assert '"customer":"acme"' in said.replace(" ", "")
    assert "HTTP/1.1 202" in said
    assert said.count("horizontalpodautoscaler.autoscaling/reports condition met") == 1
