"""The native node cleans up the host, even after it was killed."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from support.kube.provider import leftovers, native
from support.kube.provider.client import Cluster
from support.kube.provider.layout import state_dir
from support.kube.provider.native import NativeProvider
from support.kube.provider.shell import ClusterError, run, wait_until

NAME = "trace"


def traces() -> dict[str, object]:
    """What a node has on the host besides processes."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return {
        "links": {line.split()[1] for line in run(["ip", "-oneline", "link"]).splitlines()},
        "routes": set(run(["ip", "route"]).splitlines()),
        "mounts": sorted(line.split()[4] for line in mounts),
        "cgroups": sorted(leftovers.CGROUPS.glob(f"**/aep-{NAME}*")),
        "state": state_dir(NAME).exists(),
    }


@pytest.fixture
def second_node(cluster: Cluster) -> NativeProvider:
    """A node in addition to that of the session, not started yet."""
    if cluster.provider.name != "native":
        pytest.skip("shows something about the native node only")
    return NativeProvider(NAME)


def test_killed_node_is_recognised_and_leaves_no_trace(second_node: NativeProvider) -> None:
    before = traces()
    try:
        second_node.start()
        assert second_node.running()
        init = leftovers.namespace_init(leftovers.node_processes(native.INIT, state_dir(NAME)))
        assert init is not None
        os.kill(init, signal.SIGKILL)
        wait_until("the node ends", lambda: not second_node.running(), seconds=30)
    finally:
        second_node.stop()
    assert not leftovers.node_processes(native.INIT, state_dir(NAME))
    assert traces() == before


def test_start_that_fails_leaves_no_trace(
    second_node: NativeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = traces()
    monkeypatch.setattr(native, "API_SECONDS", 0)
    with pytest.raises(ClusterError, match="the API server answers: not within 0 s"):
        second_node.start()
    assert not leftovers.node_processes(native.INIT, state_dir(NAME))
    assert traces() == before


def test_a_node_that_another_checkout_started_is_found_and_stopped(tmp_path: Path) -> None:
    state, init = tmp_path / "state", tmp_path / "node" / native.INIT.name
    init.parent.mkdir()
    init.write_text("sleep infinity")
    with subprocess.Popen(["bash", init, state]) as node:
        try:
            wait_until("it runs", lambda: bool(leftovers.node_processes(init, state)), seconds=10)
            leftovers.kill_node(native.INIT, state)
            assert node.poll() == -signal.SIGKILL
        finally:
            node.kill()
