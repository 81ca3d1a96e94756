"""docs/kubernetes.md, "Development": the operator run on this machine."""

import contextlib
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.kube.docs_script import Clone, by_hand, script
from support.kube.installed import OPERATOR, SYSTEM_NAMESPACE, Installed
from support.kube.provider.client import Cluster
from support.kube.provider.shell import wait_until
from support.kube.watching import scale, until_ended

WHY = "runs until it is ended; tests/cluster/test_docs_laptop.py"
ADMIN = {"ASYNCENDPOINTS_ADMIN_PORT": "0"}
"""Instead of 9090, which may be in use on this machine."""


@contextlib.contextmanager
def from_here(clone: Clone, names: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the block; `names` resolves the names that only the cluster knows."""
    text = script([by_hand("docs/kubernetes.md", WHY)])
    resolve = f"mount --bind {shlex.quote(str(names))} /etc/resolv.conf\n"
    # The last line is the operator: send signals to it, not to the shell.
    text = resolve + text.replace("\nasyncendpoints operator", "\nexec asyncendpoints operator")
    environment = {**clone.environment, **ADMIN, "HOME": str(clone.home)}
    with subprocess.Popen(
        ["unshare", "--mount", "bash", "-euo", "pipefail", "-c", text],
        cwd=clone.folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def holder(cluster: Cluster) -> str:
    """The name of the leader, "" without one."""
    lease = cluster.get("lease", "asyncendpoints-operator", "--namespace", SYSTEM_NAMESPACE)
    return str(lease["spec"].get("holderIdentity") or "")


@pytest.mark.timeout(600, func_only=True)
def test_an_operator_on_this_machine_does_what_the_one_in_the_cluster_did(
    installed: Installed, cluster: Cluster, tmp_path: Path
) -> None:
    """No object is replaced, and jobs run from zero workers."""
    if cluster.provider.name != "native":
        pytest.skip("this machine does not reach the cluster's Redis by its name")
    clone, names = Clone(cluster, tmp_path), tmp_path / "resolv.conf"
    where = ("exec", "--namespace", SYSTEM_NAMESPACE, OPERATOR, "--")
    names.write_text(cluster.kubectl(*where, "cat", "/etc/resolv.conf"))
    with (
        cluster.namespace("laptop") as place,
        installed.endpoint(place, "near") as endpoint,
    ):
        before = {pod["metadata"]["uid"] for pod in endpoint.pods("gateway")}
        in_the_cluster = holder(cluster)
        try:
            with from_here(clone, names) as operator:
                wait_until(
                    "this machine leads",
                    lambda: holder(cluster) not in {"", in_the_cluster},
                    seconds=90,
                )
                jobs = [endpoint.submit(value=number) for number in range(3)]
                assert {job["state"] for job in until_ended(endpoint, jobs)} == {"Completed"}
                endpoint.until("all are counted", lambda s: s["jobs"]["completed"] == 3)
                endpoint.patch({"retry": {"maxRetries": 1}})
                endpoint.until_ready()
                assert {pod["metadata"]["uid"] for pod in endpoint.pods("gateway")} == before
                operator.send_signal(signal.SIGTERM)
                said, _ = operator.communicate(timeout=60)
                assert operator.returncode == 0, said[-3000:]
        finally:
            scale(cluster, SYSTEM_NAMESPACE, OPERATOR, 1)
        endpoint.until_ready()
