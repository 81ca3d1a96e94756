"""Debian packages that the native node and the image builder need."""

import logging
import os
import shutil

from support.kube.provider.layout import exclusive
from support.kube.provider.shell import ClusterError, run_long

log = logging.getLogger("cluster")

# A program of the package (looked up in PATH, or a path) -> the package.
BUILDER = {
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}
NODE = {
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "etcd": "etcd-server",
    "iptables": "iptables",
    "ip": "iproute2",
    "mount": "mount",
    "unshare": "util-linux",
    "openssl": "openssl",
}


def ensure(wanted: dict[str, str]) -> None:
    """Install the missing ones of `wanted` with apt-get; needs root only if any is missing."""
    with exclusive("apt"):
        missing = sorted({package for probe, package in wanted.items() if not _present(probe)})
        if not missing:
            return
        if shutil.which("apt-get") is None or os.geteuid() != 0:
            raise ClusterError(f"please install: {' '.join(missing)} (as root it is done for you)")
        env = {"DEBIAN_FRONTEND": "noninteractive"}
        run_long("apt-get update", ["apt-get", "-q", "update"], env=env)
        install = ["apt-get", "-q", "install", "-y", "--no-install-recommends", *missing]
        run_long(f"installing {' '.join(missing)}", install, env=env)


def _present(probe: str) -> bool:
    return os.path.exists(probe) if probe.startswith("/") else shutil.which(probe) is not None
