"""The commands of docs/kubernetes.md, troubleshooting.md and operations.md, run as they stand.

All blocks are one script for one shell, in the root of what looks like a clone: those of the other
pages come before the deletion that ends kubernetes.md. Its two ways to have images are both gone
through, each with an installation; a cluster that is not the tests' own has its images already.
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
    """The clone; a Redis to move to in namespace `demo`; everything as it was after the test."""
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
    # A worker that ends asks its Redis what it holds, and waits for the answer.
    pods = ("pod", "-l", "asyncendpoints.io/endpoint=reports", "--namespace", "demo")
    cluster.kubectl("wait", *pods, "--for=delete", "--timeout=170s")
    install.install_chart(cluster, json.loads(told))
    gone = ("secret/new-redis", "pod/new-redis", "service/new-redis")
    cluster.kubectl("delete", *gone, "--namespace", "demo", "--ignore-not-found", "--wait=false")
    if not had_demo:
        cluster.kubectl("delete", "namespace", "demo", "--ignore-not-found", "--wait=false")


def blocks(*, builds: bool) -> list[Block]:
    """The blocks of the pages in the order in which one reader could run them."""
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
