"""Render all files that a native node reads at its start: keys, kubeconfigs, components."""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from string import Template

from support.kube.provider import images, pki
from support.kube.provider.layout import NODE_FILES
from support.kube.provider.network import Network

NODE_NAME = "node-1"
DOMAIN = "cluster.local"
FOLDERS = ("conf/cni", "log", "tmp", "kubelet", "pod-logs", "containerd", "archives")
USERS = ("admin", "kubelet", "controller-manager", "scheduler", "proxy", "coredns")
COMPONENTS = {
    "containerd.toml": "containerd.toml",
    "kubelet.yaml": "kubelet.yaml",
    "Corefile": "Corefile",
    "cni.conflist": "cni/pods.conflist",
}


def fingerprint(tools: Mapping[str, Path]) -> str:
    """Differs if a node started now would differ from the one started then."""
    digest = hashlib.sha256(repr(sorted(tools.items())).encode())
    for file in sorted(NODE_FILES.iterdir()):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def write(state: Path, net: Network, cgroup: str, socket: Path, tools: Mapping[str, Path]) -> None:
    """Write a new node's folder `state`."""
    for folder in FOLDERS:
        (state / folder).mkdir(parents=True, exist_ok=True)
    _write_keys(state / "pki", net)
    values = {
        "state": str(state),
        "socket": str(socket),
        "cgroup": cgroup,
        "pause_image": images.PAUSE_IMAGE,
        "node_ip": net.node_ip,
        "pod_cidr": net.pod_cidr,
        "dns_ip": net.dns_ip,
        "domain": DOMAIN,
    }
    for source, target in COMPONENTS.items():
        _render(source, state / "conf" / target, values)
    for user in USERS:
        _render(
            "kubeconfig.yaml",
            state / "conf" / f"{user}.kubeconfig",
            {
                **values,
                "user": user,
                "ca": _encoded(state / "pki" / "ca.crt"),
                "cert": _encoded(state / "pki" / f"{user}.crt"),
                "key": _encoded(state / "pki" / f"{user}.key"),
            },
        )
    _write_environment(state / "node.env", net, tools)


def _write_keys(folder: Path, net: Network) -> None:
    service = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
    names = ("localhost", *service, f"kubernetes.default.svc.{DOMAIN}")
    addresses = ("127.0.0.1", net.node_ip, net.api_service_ip)
    server = (*(f"DNS:{name}" for name in names), *(f"IP:{ip}" for ip in addresses))
    pki.create(folder, pki.certificates(NODE_NAME, server))


def _write_environment(file: Path, net: Network, tools: Mapping[str, Path]) -> None:
    variables = {
        "NODE_NAME": NODE_NAME,
        "NODE_IP": net.node_ip,
        "HOST_IP": net.host_ip,
        "POD_CIDR": net.pod_cidr,
        "SERVICE_CIDR": net.service_cidr,
        "DNS_IP": net.dns_ip,
        "DOMAIN": DOMAIN,
        **{name.upper().replace("-", "_"): str(path) for name, path in tools.items()},
    }
    file.write_text("".join(f"{name}='{value}'\n" for name, value in variables.items()))


def _render(source: str, target: Path, values: Mapping[str, str]) -> None:
    target.write_text(Template((NODE_FILES / source).read_text()).substitute(values))
    target.chmod(0o600)


def _encoded(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
