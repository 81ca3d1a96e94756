"""kind, through pytest-kind: for machines on which a Docker engine runs."""

import contextlib
import logging
import shutil
import subprocess
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from support.kube.provider import gotools, images
from support.kube.provider.layout import state_dir
from support.kube.provider.shell import ClusterError, run

if TYPE_CHECKING:
    from pytest_kind import KindCluster

log = logging.getLogger("cluster")


def docker_runs() -> bool:
    """Whether a Docker engine responds (having the client is not enough)."""
    if shutil.which("docker") is None:
        return False
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def kind_folder(name: str) -> str:
    """The name of a kind cluster's folder; the dot keeps it apart from every native node's."""
    return f"kind.{name}"


class KindProvider:
    """A kind cluster of the given name."""

    name = "kind"
    direct = False

    def __init__(self, name: str) -> None:
        self.builder = images.Docker()
        self._cluster = f"asyncendpoints-{name}"
        self._state = state_dir(kind_folder(name))
        self.kubeconfig = self._state / "kubeconfig"

    def running(self) -> bool:
        """Whether the cluster exists and its API responds."""
        if not self.kubeconfig.exists():
            return False
        kubectl = gotools.ensure(("kubectl",))["kubectl"]
        try:
            ready: list[str | Path] = [
                kubectl,
                "--kubeconfig",
                self.kubeconfig,
                "get",
                "--raw",
                "/readyz",
            ]
            return run(ready).strip() == "ok"
        except ClusterError:
            return False

    def start(self) -> None:
        """Create the cluster, or use the existing one of that name, and wait for its node."""
        if not docker_runs():
            raise ClusterError("kind needs a Docker engine, and none answers")
        self._state.mkdir(parents=True, exist_ok=True)
        log.info("creating the kind cluster %s", self._cluster)
        with contextlib.chdir(self._state):  # pytest-kind keeps a folder where it is called
            self._kind.create()
        kubectl = gotools.ensure(("kubectl",))["kubectl"]
        wait = ["wait", "node", "--all", "--for=condition=Ready", "--timeout=180s"]
        run([kubectl, "--kubeconfig", self.kubeconfig, *wait])

    def load_image(self, tag: str) -> str:
        """Load an image of the Docker engine into the cluster's nodes."""
        with contextlib.chdir(self._state):
            self._kind.load_docker_image(tag)
        return tag

    def stop(self) -> None:
        """Delete the cluster and its folder; does nothing when there is none."""
        if self._state.exists():
            with contextlib.chdir(self._state):
                self._kind.delete()
            shutil.rmtree(self._state)

    @cached_property
    def _kind(self) -> "KindCluster":
        # Only here, because a machine without Docker does not need the package.
        from pytest_kind import KindCluster

        tools = gotools.ensure(("kind", "kubectl"))
        return KindCluster(
            self._cluster,
            kubeconfig=self.kubeconfig,
            kind_path=tools["kind"],
            kubectl_path=tools["kubectl"],
        )
