"""A Redis that belongs to a test: one pod in its namespace, and its owner's operations."""

import json
from collections.abc import Mapping
from typing import Any

from support.kube.installed import SYSTEM_NAMESPACE
from support.kube.provider.client import Cluster

NAME = "redis"
"""The name of the pod, of its Service, and of the Secret whose key `url` names it."""


class OwnRedis:
    """Created by `start`; removed with its namespace."""

    def __init__(
        self, cluster: Cluster, namespace: str, image: str, password: str = "of-the-tests"
    ) -> None:
        self.cluster, self.namespace, self.image = cluster, namespace, image
        self.password = password

    @property
    def identity(self) -> str:
        """Its identity in a status."""
        return f"redis://{NAME}.{self.namespace}.svc:6379/0"

    @property
    def secret(self) -> dict[str, Any]:
        """The Secret as it should be now."""
        url = self.identity.replace("//", f"//:{self.password}@", 1)
        meta = {"name": NAME, "namespace": self.namespace}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"url": url}}

    def start(self) -> None:
        """Create it, and wait until it accepts connections."""
        labels = {"app": NAME}
        meta = {"name": NAME, "namespace": self.namespace, "labels": labels}
        ports = {"selector": labels, "ports": [{"port": 6379}]}
        self.cluster.apply(
            {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": self._pod()},
            {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": ports},
            self.secret,
        )
        self.cluster.wait(self.namespace, f"pod/{NAME}", "condition=Ready")

    def _pod(self) -> dict[str, Any]:
        args = ["--requirepass", self.password, "--dir", "/data", "--appendonly", "yes"]
        container = {
            "name": NAME,
            "image": self.image,
            "args": [*args, "--maxmemory-policy", "noeviction", "--bind", "*"],
            "readinessProbe": {"tcpSocket": {"port": 6379}, "periodSeconds": 1},
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        }
        return restricted(container, volumes=[{"name": "data", "emptyDir": {}}])

    def cli(self, *words: str) -> str:
        """Run a command on it, as its owner."""
        command = ("redis-cli", "--no-auth-warning", "-a", self.password, *words)
        where = ("exec", "--namespace", self.namespace, NAME, "--")
        return self.cluster.kubectl(*where, *command).strip()

    def rotate(self, password: str) -> None:
        """Change the password and the Secret, and close every connection with the old one.

        Nobody is given time: until the kubelet has brought the Secret, pods are refused.
        """
        self.cli("CONFIG", "SET", "requirepass", password)
        self.password = password
        self.cluster.apply(self.secret)
        for kind in ("normal", "pubsub"):
            self.cli("CLIENT", "KILL", "TYPE", kind)


def restricted(container: Mapping[str, Any], **spec: Any) -> dict[str, Any]:
    """The spec of a pod with this container that passes the `restricted` standard."""
    closed = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return {
        "containers": [{**container, "securityContext": closed}],
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        **spec,
    }


def let_the_operator_read(cluster: Cluster, namespace: str) -> None:
    """Let the installed operator get Secrets here, like the chart's `rbac.secretNamespaces`."""
    meta = {"name": "read-secrets", "namespace": namespace}
    group = "rbac.authorization.k8s.io"
    account = {"kind": "ServiceAccount", "name": "asyncendpoints", "namespace": SYSTEM_NAMESPACE}
    cluster.apply(
        {
            "apiVersion": f"{group}/v1",
            "kind": "Role",
            "metadata": meta,
            "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": meta["name"]},
            "subjects": [account],
        },
    )


def bring_secrets(cluster: Cluster, namespace: str, selector: str) -> None:
    """Make the kubelet sync these pods now, which updates the Secrets that they mount.

    It does by itself within some 90 s; any change of a pod makes it look at once.
    """
    pods = cluster.get("pods", "--namespace", namespace, "-l", selector)["items"]
    for pod in pods:
        looks = int(pod["metadata"].get("annotations", {}).get("looks", 0)) + 1
        patch = json.dumps({"metadata": {"annotations": {"looks": str(looks)}}})
        name = pod["metadata"]["name"]
        cluster.kubectl("patch", "pod", name, "-p", patch, "--namespace", namespace)
