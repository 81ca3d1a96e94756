"""Where the test cluster keeps files: persistent ones (the cache) and those of one cluster."""

import contextlib
import fcntl
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

from support.kube.provider.shell import ClusterError
from support.paths import KUBE, ROOT

log = logging.getLogger("cluster")

REPOSITORY = ROOT
TOOLS = REPOSITORY / "tools"
NODE_FILES = KUBE / "node"
IMAGE_FILES = KUBE / "images"


def cache_root() -> Path:
    """The folder of built tools and images: outside the checkout, shared by all clusters."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "asyncendpoints"


def state_root() -> Path:
    """The folder that holds one folder per running cluster and is removed with the last one."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "asyncendpoints-cluster"


def cluster_name() -> str:
    """The name of the cluster to use: ASYNCENDPOINTS_CLUSTER_NAME, else `dev`."""
    name = os.environ.get("ASYNCENDPOINTS_CLUSTER_NAME", "dev")
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,19}", name):
        raise ClusterError(f"cluster name {name!r}: want 1-20 of a-z, 0-9 and -, a letter first")
    return name


def state_dir(name: str) -> Path:
    """The folder of one running cluster."""
    return state_root() / name


@contextlib.contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Hold the machine-wide lock of that name, waiting for its current holder."""
    with lock_file(name) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("waiting for another process (lock %s)", name)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def lock_file(name: str) -> Iterator[int]:
    """Open the lock file of that name; the lock, if one is taken, ends with the block."""
    folder = cache_root() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)
