"""What goes wrong on a cluster, one fault at a time; each returns when its cause is gone."""

import random
import time
from collections.abc import Callable

from faults.cluster_system import NAME, ClusterSystem
from support.kube.control_plane import kill_api_server
from support.kube.installed import OPERATOR, REDIS_POD, SYSTEM_NAMESPACE
from support.kube.provider.shell import CommandError, wait_until
from support.kube.watching import kill_pod

Fault = Callable[[ClusterSystem, random.Random], None]
FAULTS: dict[str, Fault] = {}
_CHILDREN = """
import os, signal
for pid in (p for p in os.listdir("/proc") if p.isdecimal() and p not in ("1", str(os.getpid()))):
    os.kill(int(pid), signal.SIGKILL)
"""
_REVISIONS = iter(range(1, 1_000_000))


def fault(inject: Fault) -> Fault:
    """Register a fault under its function's name."""
    FAULTS[inject.__name__] = inject
    return inject


def _any_pod(system: ClusterSystem, component: str, chance: random.Random) -> str:
    """Choose a pod that is not terminating, "" without one."""
    names = [
        pod["metadata"]["name"]
        for pod in system.endpoint.pods(component)
        if "deletionTimestamp" not in pod["metadata"]
    ]
    return chance.choice(sorted(names)) if names else ""


def _exec(system: ClusterSystem, pod: str, script: str) -> None:
    """Run Python in a pod; its container, or the pod, may be gone by then."""
    try:
        system.endpoint.kubectl("exec", pod, "--", "python", "-c", script, timeout=30)
    except CommandError:
        return


@fault
def gateway_pod_deleted(system: ClusterSystem, chance: random.Random) -> None:
    """Delete a gateway's pod, with its grace period."""
    if pod := _any_pod(system, "gateway", chance):
        system.endpoint.kubectl("delete", "pod", pod, "--wait=false")


@fault
def gateway_pod_lost(system: ClusterSystem, chance: random.Random) -> None:
    """Delete a gateway's pod without a grace period."""
    if pod := _any_pod(system, "gateway", chance):
        kill_pod(system.cluster, system.namespace, pod)


@fault
def worker_pod_deleted(system: ClusterSystem, chance: random.Random) -> None:
    """Delete a worker's pod, with its grace period."""
    if pod := _any_pod(system, "worker", chance):
        system.endpoint.kubectl("delete", "pod", pod, "--wait=false")


@fault
def worker_pod_lost(system: ClusterSystem, chance: random.Random) -> None:
    """Delete a worker's pod without a grace period."""
    if pod := _any_pod(system, "worker", chance):
        kill_pod(system.cluster, system.namespace, pod)


@fault
def worker_processes_killed(system: ClusterSystem, chance: random.Random) -> None:
    """SIGKILL every process that runs handlers in a worker's container."""
    if pod := _any_pod(system, "worker", chance):
        _exec(system, pod, _CHILDREN)


@fault
def worker_container_stopped(system: ClusterSystem, chance: random.Random) -> None:
    """SIGTERM a worker's supervisor: its container ends and is started again."""
    if pod := _any_pod(system, "worker", chance):
        _exec(system, pod, "import os; os.kill(1, 15)")


@fault
def gateway_container_stopped(system: ClusterSystem, chance: random.Random) -> None:
    """SIGTERM a gateway: its container ends and is started again."""
    if pod := _any_pod(system, "gateway", chance):
        _exec(system, pod, "import os; os.kill(1, 15)")


@fault
def operator_away(system: ClusterSystem, chance: random.Random) -> None:
    """Have no operator for some seconds."""
    where = ("--namespace", SYSTEM_NAMESPACE)
    system.cluster.kubectl("scale", OPERATOR, "--replicas=0", *where)
    time.sleep(chance.uniform(3, 10))
    system.cluster.kubectl("scale", OPERATOR, "--replicas=1", *where)


@fault
def operator_lost(system: ClusterSystem, chance: random.Random) -> None:
    """Delete the operator's pods without a grace period."""
    where = ("--namespace", SYSTEM_NAMESPACE, "-l", "app.kubernetes.io/component=operator")
    system.cluster.kubectl("delete", "pod", *where, "--grace-period=0", "--force", "--wait=false")


@fault
def redis_pod_deleted(system: ClusterSystem, chance: random.Random) -> None:
    """Delete the pod of Redis; its data are on a volume."""
    where = ("--namespace", SYSTEM_NAMESPACE)
    system.cluster.kubectl("delete", "pod", REDIS_POD, *where, "--wait=false")


@fault
def redis_pod_lost(system: ClusterSystem, chance: random.Random) -> None:
    """Delete the pod of Redis without a grace period; it keeps every acknowledged write."""
    kill_pod(system.cluster, SYSTEM_NAMESPACE, REDIS_POD)


@fault
def redis_user_deleted(system: ClusterSystem, chance: random.Random) -> None:
    """Delete the endpoint's user, as a Redis without its ACL file has."""
    try:
        system.installed.redis("ACL", "DELUSER", f"aep.{system.namespace}.{NAME}")
    except CommandError:  # Redis is not back yet
        return


@fault
def api_server_killed(system: ClusterSystem, chance: random.Random) -> None:
    """Kill the API server; it is started again. On the native node only."""
    if system.cluster.provider.name == "native":
        kill_api_server(system.cluster)


@fault
def rolled_out(system: ClusterSystem, chance: random.Random) -> None:
    """Change the template of the workers' pods."""
    revision = [{"name": "REVISION", "value": str(next(_REVISIONS))}]
    system.endpoint.patch({"worker": {"env": revision}})


@fault
def suspended(system: ClusterSystem, chance: random.Random) -> None:
    """Stop running jobs for some seconds."""
    system.endpoint.patch({"suspend": True})
    time.sleep(chance.uniform(1, 6))
    system.endpoint.patch({"suspend": None})


@fault
def pinned(system: ClusterSystem, chance: random.Random) -> None:
    """Set the number of workers for some seconds."""
    system.endpoint.patch({"replicas": chance.randint(0, 3)})
    time.sleep(chance.uniform(1, 6))
    system.endpoint.patch({"replicas": None})


@fault
def scaled_by_another(system: ClusterSystem, chance: random.Random) -> None:
    """Scale the workers' Deployment by hand, under running jobs."""
    count = chance.randint(0, 2)
    system.endpoint.kubectl("scale", f"deployment/{NAME}-worker", f"--replicas={count}")


@fault
def owned_object_deleted(system: ClusterSystem, chance: random.Random) -> None:
    """Delete one of the endpoint's objects; the operator makes it again."""
    kind, name = chance.choice(
        (
            ("deployment", f"{NAME}-gateway"),
            ("deployment", f"{NAME}-worker"),
            ("service", NAME),
            ("serviceaccount", f"{NAME}-worker"),
        )
    )
    _delete_owned(system, kind, name)


def _delete_owned(system: ClusterSystem, kind: str, name: str) -> None:
    def uid() -> str:
        words = ("get", kind, name, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}")
        return system.endpoint.kubectl(*words)

    before = uid()
    if not before:
        return
    system.endpoint.kubectl("delete", kind, name, "--wait=false")
    wait_until(f"another {kind} {name}", lambda: uid() not in ("", before), seconds=120)
    if kind == "service":
        system.find()
