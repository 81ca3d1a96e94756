"""Which cluster to use, who uses it, and who stops it.

Every user holds a shared lock on the cluster, which the kernel drops with its process: the last
one out stops a cluster that tests started; one that `make cluster` started is kept; one that
nobody uses and nobody asked to keep was left by a crash, and is removed before the next start.
"""

import contextlib
import fcntl
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from support.kube.provider import images
from support.kube.provider.external import ExternalProvider, named_kubeconfig
from support.kube.provider.kind import KindProvider, docker_runs, kind_folder
from support.kube.provider.layout import cluster_name, exclusive, lock_file, state_dir, state_root
from support.kube.provider.native import NativeProvider
from support.kube.provider.shell import ClusterError

log = logging.getLogger("cluster")

CHOICES = ("auto", "kubeconfig", "kind", "native")


class Provider(Protocol):
    """A way to provide a cluster."""

    name: str
    kubeconfig: Path
    direct: bool  # the host reaches ClusterIPs and pod addresses without a port-forward

    @property
    def builder(self) -> images.ImageBuilder:
        """What builds images for it."""
        ...

    def running(self) -> bool:
        """Whether the cluster exists, as start() would create it, and responds."""
        ...

    def start(self) -> None:
        """Start it and wait until its node is Ready."""
        ...

    def load_image(self, tag: str) -> str:
        """Load a built image into it and return the name by which its pods use it."""
        ...

    def stop(self) -> None:
        """Remove every trace of it."""
        ...


def choose(wanted: str) -> Provider:
    """The provider of that name; `auto`: the cluster of KUBECONFIG, else kind, else native."""
    if wanted not in CHOICES:
        raise ClusterError(f"unknown cluster provider {wanted!r}, want one of {', '.join(CHOICES)}")
    kubeconfig = named_kubeconfig()
    if wanted == "kubeconfig" and kubeconfig is None:
        raise ClusterError("provider kubeconfig: KUBECONFIG names no file that exists")
    if wanted in ("auto", "kubeconfig") and kubeconfig is not None:
        own = _own(kubeconfig)
        external = own or ExternalProvider(kubeconfig)
        if wanted == "kubeconfig" or external.running():
            return external
        log.info("the cluster of %s does not answer, so it is not used", kubeconfig)
    if wanted == "kind" or (wanted == "auto" and docker_runs()):
        return KindProvider(cluster_name())
    return NativeProvider(cluster_name())


@contextlib.contextmanager
def use(provider: Provider) -> Iterator[Provider]:
    """Provide a cluster for the `with` block; started if necessary, stopped by its last user."""
    if isinstance(provider, ExternalProvider):
        provider.start()
        yield provider
        return
    name = provider.kubeconfig.parent.name
    with lock_file(f"users-{name}") as users:
        with exclusive(f"start-{name}"):
            _start_unless_shared(provider, others=not _alone(users), kept=_kept(name))
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield provider
        finally:
            with exclusive(f"start-{name}"):
                if _alone(users) and not _kept(name):
                    _stop(provider)


def up(provider: Provider) -> None:
    """Provide a cluster that stays until down(); one that runs already is reused."""
    if isinstance(provider, ExternalProvider):
        provider.start()
        return
    name = provider.kubeconfig.parent.name
    with exclusive(f"start-{name}"):
        _start_unless_shared(provider, others=True, kept=True)
        (state_dir(name) / "keep").touch()


def down() -> None:
    """Remove every trace of the cluster of the current name, regardless of who created it."""
    for provider in (KindProvider(cluster_name()), NativeProvider(cluster_name())):
        with exclusive(f"start-{provider.kubeconfig.parent.name}"):
            _stop(provider)


def _stop(provider: Provider) -> None:
    provider.stop()
    with contextlib.suppress(OSError):  # another cluster lives there
        state_root().rmdir()
    if isinstance(provider.builder, images.Buildah):
        try:
            provider.builder.prune()
        except ClusterError as error:  # a large cache is no failure of the tests that used it
            log.warning("old images stay in the cache: %s", error)


def _start_unless_shared(provider: Provider, *, others: bool, kept: bool) -> None:
    if (others or kept) and provider.running():
        log.info("using the %s cluster that runs already", provider.name)
        return
    provider.stop()
    provider.start()


def _own(kubeconfig: Path) -> NativeProvider | KindProvider | None:
    """The provider of this kubeconfig, if `make cluster` wrote it."""
    folder = kubeconfig.resolve().parent
    if folder.parent != state_root().resolve():
        return None
    kind, name = folder.name.startswith(kind_folder("")), folder.name.rpartition(".")[2]
    return KindProvider(name) if kind else NativeProvider(name)


def _alone(users: int) -> bool:
    """Whether no other process uses the cluster; if so, this process keeps the lock."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _kept(name: str) -> bool:
    return (state_dir(name) / "keep").exists()
