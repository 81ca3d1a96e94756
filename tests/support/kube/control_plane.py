"""Failures of a control plane, caused on the native node: lost history, restarts."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from support.kube.provider import leftovers, native
from support.kube.provider.client import Cluster
from support.kube.provider.layout import cluster_name, state_dir
from support.kube.provider.shell import CommandError, run, wait_until

# etcd listens only inside the node's network, and speaks JSON there.
COMPACT = """
import base64, json, urllib.request

def ask(path, body):
    url = f"http://127.0.0.1:2379/v3/kv/{path}"
    request = urllib.request.Request(url, json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)

now = ask("range", {"key": base64.b64encode(b"/").decode()})["header"]["revision"]
ask("compaction", {"revision": now, "physical": True})
"""


def forget_history(cluster: Cluster) -> None:
    """Make etcd keep only the current state, and restart the API server without its cache.

    After that no watch can go on from where it was: every one gets a 410 and lists anew.
    """
    state = state_dir(cluster_name())
    init = leftovers.namespace_init(leftovers.node_processes(native.INIT, state))
    assert init is not None
    run(["nsenter", "--target", str(init), "--net", sys.executable, "-c", COMPACT])
    kill_api_server(cluster)


def kill_api_server(cluster: Cluster) -> None:
    """SIGKILL the API server, and wait until the next one answers."""
    state = state_dir(cluster_name())
    keys = state / "pki" / "apiserver.crt", state / "pki" / "apiserver.key"
    servers = leftovers.node_processes(*keys)
    for pid in servers:
        os.kill(pid, signal.SIGKILL)
    wait_until(
        "the next API server",
        lambda: bool(set(leftovers.node_processes(*keys)) - set(servers)),
        seconds=30,
    )
    wait_until("the API server answers", cluster.provider.running, seconds=90)


def is_forgotten(cluster: Cluster, path: str, version: str) -> bool:
    """Return whether a watch of `path` from a resourceVersion on is rejected as too old."""
    words = f"watch=true&timeoutSeconds=1&resourceVersion={version}"
    try:
        answer = cluster.kubectl("get", "--raw", f"{path}?{words}")
    except CommandError as error:
        answer = error.output
    return "too old resource version" in answer


@contextlib.contextmanager
def frozen(pod: Mapping[str, Any]) -> Iterator[None]:
    """Stop a pod's main container for the block, as on a machine that hangs."""
    container = pod["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
    found = [pid for pid in map(_pid, Path("/proc").iterdir()) if pid and _is_in(pid, container)]
    assert found, f"no process of container {container} is seen from here"
    for pid in found:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _pid(entry: Path) -> int:
    return int(entry.name) if entry.name.isdecimal() else 0


def _is_in(pid: int, container: str) -> bool:
    try:
        return container in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False
