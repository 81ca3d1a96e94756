"""Build the pinned Go programs of tools/ into the cache, once per version of their sources."""

import hashlib
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from support.kube.provider.layout import TOOLS, cache_root, exclusive
from support.kube.provider.shell import ClusterError, run, run_long


@dataclass(frozen=True, slots=True)
class Module:
    """One Go module under tools/: its programs by name, and the link flags they are built with."""

    name: str
    programs: dict[str, str]
    stamps: tuple[str, ...] = ()


KUBERNETES_PROGRAMS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
)
MODULES = (
    Module(
        "kubernetes",
        {name: f"k8s.io/kubernetes/cmd/{name}" for name in KUBERNETES_PROGRAMS},
        # Without them the server reports v0.0.0-master, and clients believe it.
        (
            "k8s.io/component-base/version.gitVersion=v{major}.{minor}.{patch}",
            "k8s.io/component-base/version.gitMajor={major}",
            "k8s.io/component-base/version.gitMinor={minor}",
        ),
    ),
    Module(
        "helm",
        {"helm": "helm.sh/helm/v3/cmd/helm"},
        ("helm.sh/helm/v3/internal/version.version=v{major}.{minor}.{patch}",),
    ),
    Module("coredns", {"coredns": "."}),
    Module("kind", {"kind": "sigs.k8s.io/kind"}),
    Module("pause", {"pause": "."}),
    Module("actionlint", {"actionlint": "github.com/rhysd/actionlint/cmd/actionlint"}),
)
CLIENTS = ("kubectl", "helm")
NATIVE = (*KUBERNETES_PROGRAMS, "helm", "coredns", "pause")


def ensure(wanted: tuple[str, ...]) -> dict[str, Path]:
    """Build what is missing of `wanted` and return the path of each; minutes when cold."""
    paths: dict[str, Path] = {}
    for module in MODULES:
        names = tuple(name for name in module.programs if name in wanted)
        if names:
            folder = _folder(module)
            with exclusive(f"tools-{module.name}"):
                missing = [name for name in names if not (folder / name).exists()]
                if missing:
                    _build(module, missing, folder)
            paths.update({name: folder / name for name in names})
    return paths


def _folder(module: Module) -> Path:
    """The cache folder, keyed by all that decides what the build yields."""
    digest = hashlib.sha256(_go_version().encode())
    source = TOOLS / module.name
    for file in sorted(source.iterdir()):
        if file.name in ("go.mod", "go.sum") or file.suffix == ".go":
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    digest.update(" ".join(_flags(module)).encode())
    return cache_root() / "tools" / f"{module.name}-{digest.hexdigest()[:16]}"


def _go_version() -> str:
    if shutil.which("go") is None:
        raise ClusterError("Go is not installed; the test cluster's tools need Go 1.24 or newer")
    return run(["go", "env", "GOVERSION", "GOARCH"], cwd=TOOLS / "pause")


def _flags(module: Module) -> list[str]:
    link = "-s -w"
    if module.stamps:
        version = _version(module)
        for stamp in module.stamps:
            link += " -X " + stamp.format(**version)
    return ["-trimpath", "-buildvcs=false", "-ldflags", link]


def _version(module: Module) -> dict[str, str]:
    """The version in go.mod of the module's own subject: the longest path our packages share."""
    package = next(iter(module.programs.values()))
    for path, major, minor, patch in re.findall(
        r"^\s+(\S+) v(\d+)\.(\d+)\.(\d+)\b",
        (TOOLS / module.name / "go.mod").read_text(),
        re.MULTILINE,
    ):
        if package.startswith(path + "/"):
            return {"major": major, "minor": minor, "patch": patch}
    raise ClusterError(f"tools/{module.name}/go.mod requires no module of {package}")


def _build(module: Module, names: list[str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    packages = [module.programs[name] for name in names]
    source = TOOLS / module.name
    # -mod=readonly (the default) refuses to build what go.sum does not know.
    env = {"CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}
    run_long(f"downloading the sources of {module.name}", ["go", "mod", "download"], cwd=source)
    total = len(run(["go", "list", "-deps", *packages], cwd=source, env=env).splitlines())
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        run_long(
            f"building {', '.join(names)}",
            ["nice", "go", "build", "-v", *_flags(module), "-o", f"{scratch}/", *packages],
            cwd=source,
            env=env,
            status=lambda count, _line: f"{count} of at most {total} packages compiled",
        )
        for name in names:
            os.replace(Path(scratch) / name, folder / name)
