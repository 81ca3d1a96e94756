"""An existing cluster, named by KUBECONFIG: used as it is, never started or stopped."""

import logging
import os
from pathlib import Path

from support.kube.provider import gotools, images
from support.kube.provider.kind import docker_runs
from support.kube.provider.shell import ClusterError, run

log = logging.getLogger("cluster")


class ExternalProvider:
    """The current context of the kubeconfig given.

    A kind cluster's nodes are loaded directly; any other gets its images through the registry
    path of ASYNCENDPOINTS_REGISTRY (`host/path`), to which both sides must have access.
    """

    name = "kubeconfig"
    direct = False

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.builder: images.ImageBuilder = images.Docker() if docker_runs() else images.Buildah()

    def running(self) -> bool:
        """Whether the cluster's API responds."""
        try:
            return self._kubectl("get", "--raw", "/readyz", "--request-timeout=10s") == "ok"
        except ClusterError:
            return False

    def start(self) -> None:
        """Check that the cluster responds."""
        if not self.running():
            raise ClusterError(f"the cluster of {self.kubeconfig} does not answer")

    def load_image(self, tag: str) -> str:
        """Make a built image available to the cluster and return the name its pods use."""
        context = self._kubectl("config", "current-context")
        if context.startswith("kind-"):
            kind = gotools.ensure(("kind",))["kind"]
            run([kind, "load", "docker-image", "--name", context.removeprefix("kind-"), tag])
            return tag
        registry = os.environ.get("ASYNCENDPOINTS_REGISTRY")
        if not registry:
            raise ClusterError(
                f"{tag} cannot reach {context}: set ASYNCENDPOINTS_REGISTRY to a registry path "
                "that this machine can push to and the cluster can pull from"
            )
        remote = f"{registry}/{tag.rpartition('/')[2]}"
        self.builder.push(tag, remote)
        log.info("pushed %s", remote)
        return remote

    def stop(self) -> None:
        """Leave the cluster as it is."""

    def _kubectl(self, *words: str) -> str:
        kubectl = gotools.ensure(("kubectl",))["kubectl"]
        return run([kubectl, "--kubeconfig", self.kubeconfig, *words]).strip()


def named_kubeconfig() -> Path | None:
    """The file that KUBECONFIG names, if it exists; ~/.kube/config is never taken by itself."""
    value = os.environ.get("KUBECONFIG", "")
    return Path(value) if value and Path(value).exists() else None
