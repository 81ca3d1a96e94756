"""Keys and certificates of a native node, created with openssl for one cluster's lifetime."""

from dataclasses import dataclass
from pathlib import Path

from support.kube.provider.shell import run

DAYS = "30"


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate: its file name, its subject and, for a server, its host names."""

    name: str
    subject: str
    authority: str = "ca"
    names: tuple[str, ...] = ()


def certificates(node_name: str, server_names: tuple[str, ...]) -> tuple[Certificate, ...]:
    """Everything a cluster needs besides its two authorities."""
    return (
        Certificate("apiserver", "/CN=kube-apiserver", names=server_names),
        Certificate("admin", "/O=system:masters/CN=admin"),
        Certificate("kubelet-client", "/O=system:masters/CN=apiserver-kubelet-client"),
        Certificate("kubelet", f"/O=system:nodes/CN=system:node:{node_name}"),
        Certificate("controller-manager", "/CN=system:kube-controller-manager"),
        Certificate("scheduler", "/CN=system:kube-scheduler"),
        Certificate("proxy", "/CN=system:kube-proxy"),
        Certificate("coredns", "/CN=coredns"),
        Certificate("front-proxy-client", "/CN=front-proxy-client", authority="front-proxy-ca"),
    )


def create(folder: Path, wanted: tuple[Certificate, ...]) -> None:
    """Write keys and certificates of both authorities and of `wanted`, and service-account.key."""
    folder.mkdir(mode=0o700)
    for authority in ("ca", "front-proxy-ca"):
        _request(folder, authority, f"/CN=asyncendpoints-test-{authority}", [])
    for certificate in wanted:
        usage = "serverAuth" if certificate.names else "clientAuth"
        extra = ["-CA", str(folder / f"{certificate.authority}.crt")]
        extra += ["-CAkey", str(folder / f"{certificate.authority}.key")]
        extra += ["-addext", "basicConstraints=critical,CA:FALSE"]
        extra += ["-addext", f"extendedKeyUsage={usage}"]
        if certificate.names:
            extra += ["-addext", f"subjectAltName={','.join(certificate.names)}"]
        _request(folder, certificate.name, certificate.subject, extra)
    key = folder / "service-account.key"
    run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key])


def _request(folder: Path, name: str, subject: str, extra: list[str]) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-noenc", "-days", DAYS, "-subj", subject]
    command += ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.crt")]
    run([*command, *extra])
