"""The commands of docs/kubernetes.md and docs/operations.md, run as they stand there.

All blocks are one script for one shell, in the root of what looks like a clone: those of
operations.md come before the deletion that ends kubernetes.md. What the page has its readers make
by hand (images, values.yaml, reports.yaml) is made here as the provider needs it.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cluster import install
from cluster.installed import SYSTEM_NAMESPACE, Installed
from cluster.provider.client import Cluster
from cluster.provider.shell import CommandError
from support.doc_pages import ROOT, Block, shell_blocks

DELETION = "## 9."
SECONDS = 1_200


@pytest.fixture
def clone(installed: Installed, tmp_path: Path) -> Iterator[Path]:
    """A folder with the repository's own, and the two files that depend on the provider."""
    cluster = installed.cluster
    for name in ("charts", "examples", "Dockerfile"):
        (tmp_path / name).symlink_to(ROOT / name)
    values = ("get", "values", "asyncendpoints", "--namespace", SYSTEM_NAMESPACE, "-o", "yaml")
    (tmp_path / "values.yaml").write_text(cluster.helm(*values))
    for resource in install.examples(cluster, installed.images["worker"]):
        name = resource["metadata"]["name"]
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(resource))
    had_demo = cluster.kubectl("get", "namespace", "demo", "--ignore-not-found", "-o", "name")
    yield tmp_path
    if not had_demo:
        cluster.kubectl("delete", "namespace", "demo", "--ignore-not-found", "--wait=false")


def script() -> str:
    """The blocks of both pages, each announced by its place so that a failure says where."""
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    begin, _, end = page.partition(DELETION)
    operations = (ROOT / "docs" / "operations.md").read_text()
    parts = ((begin, "kubernetes.md"), (operations, "operations.md"), (end, "kubernetes.md, 9."))
    blocks = [block for text, name in parts for block in shell_blocks(text, name)]
    return "\n".join(_announced(block) for block in blocks if block.by_hand is None)


def _announced(block: Block) -> str:
    return f"echo {shlex.quote(f'== {block.page}:{block.line}')}\n{block.text}"


@pytest.mark.timeout(SECONDS + 600, func_only=True)
def test_every_command_of_the_pages_runs(cluster: Cluster, clone: Path) -> None:
    environment = {**os.environ, **cluster.environment}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script()],
        cwd=clone,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{_diagnosis(cluster)}"
    assert '"customer":"acme"' in done.stdout.replace(" ", "")
    assert "HTTP/1.1 202" in done.stdout


def _diagnosis(cluster: Cluster) -> str:
    try:
        return cluster.diagnose("demo")
    except CommandError as error:
        return str(error)
