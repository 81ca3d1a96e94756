"""Run the blocks of pages as one script, in a clone of the repository."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from support.doc_pages import Block, shell_blocks
from support.kube import docs_tools
from support.kube.installed import Installed
from support.kube.provider.__main__ import PROVIDER_VARIABLE
from support.kube.provider.client import Cluster
from support.kube.provider.shell import CommandError
from support.paths import ROOT

SOURCES = (
    *("core", "console", "gateway", "worker", "operator", "cli", "sdk"),
    *("charts", "examples", "requirements"),
)
FILES = ("pyproject.toml", "README.md", "LICENSE", "Dockerfile", ".dockerignore")


class Clone:
    """A folder with the repository's files: the reader's working directory."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        """Copy the sources into `folder`; `docker` and `kind` are there if it uses them."""
        self.cluster, self.folder = cluster, folder / "clone"
        self.folder.mkdir()
        for name in SOURCES:
            shutil.copytree(
                ROOT / name, self.folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        for name in FILES:
            shutil.copy2(ROOT / name, self.folder / name)
        self.programs = folder / "programs"
        self.programs.mkdir()
        self.builds = cluster.provider.name != "kubeconfig"
        if self.builds:
            docs_tools.write_programs(cluster, self.programs)
        # The home folder in the pages.
        (folder / ".kube").mkdir()
        shutil.copy2(cluster.kubeconfig, folder / ".kube" / "config")
        self.home = folder

    @property
    def environment(self) -> dict[str, str]:
        """The variables of that shell."""
        found = {**os.environ, **self.cluster.environment}
        places = [str(self.programs), str(Path(sys.executable).parent), found["PATH"]]
        found["PATH"] = os.pathsep.join(places)
        found[PROVIDER_VARIABLE] = self.cluster.provider.name
        if "XDG_CACHE_HOME" not in found:
            found["XDG_CACHE_HOME"] = str(Path.home() / ".cache")
        if "XDG_STATE_HOME" not in found:
            found["XDG_STATE_HOME"] = str(Path.home() / ".local" / "state")
        return found

    def run(
        self, blocks: Iterable[Block], *, seconds: float = 600, env: Mapping[str, str] | None = None
    ) -> str:
        """Run blocks one after the other in one shell; return all their output."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script(blocks)],
            cwd=self.folder,
            env={**self.environment, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
        )
        assert done.returncode == 0, f"{done.stdout[-4000:]}\n{self._diagnosis()}"
        return done.stdout

    def _diagnosis(self) -> str:
        try:
            return self.cluster.diagnose("demo")
        except CommandError as error:
            return str(error)


def blocks_of(page: str, *, after: str = "", before: str = "") -> list[Block]:
    """Return the shell blocks of a page, or those between two of its headings."""
    text = (ROOT / page).read_text()
    first = text.index(f"\n{after}") if after else 0
    last = text.index(f"\n{before}") if before else len(text)
    lines = range(text.count("\n", 0, first), text.count("\n", 0, last) + 1)
    return [block for block in shell_blocks(text, page) if block.line in lines]


def by_hand(page: str, why: str) -> Block:
    """Return the one block of a page with this mark."""
    (found,) = [block for block in blocks_of(page) if block.by_hand == why]
    return found


def script(blocks: Iterable[Block]) -> str:
    """Return the blocks as one text, each with its position so that a failure shows it."""
    return "\n".join(
        f"echo {shlex.quote(f'== {block.page}:{block.line}')}\n{block.text}" for block in blocks
    )


def start_redis(installed: Installed, namespace: str, name: str, *options: str) -> None:
    """Start a Redis that a page's reader has: a pod, and a Service of its name."""
    labels = {"app": name}
    meta = {"name": name, "namespace": namespace, "labels": labels}
    container = {
        "name": "redis",
        "image": installed.redis_image,
        "args": ["--bind", "*", "--appendonly", "yes", "--dir", "/data", *options],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "readinessProbe": {"tcpSocket": {"port": 6379}, "periodSeconds": 1},
    }
    spec = {
        "containers": [container],
        "volumes": [{"name": "data", "emptyDir": {}}],
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    ports = {"selector": labels, "ports": [{"port": 6379}]}
    installed.cluster.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": ports},
    )
    installed.cluster.wait(namespace, f"pod/{name}", "condition=Ready")
