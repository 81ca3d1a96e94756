"""`docker` and `kind` as in the pages, implemented by the test cluster's own provider.

Where a Docker engine runs, `docker` is the real one. `python -m support.kube.docs_tools docker …`
is what a script of that name in PATH calls. Names are completed as Docker does: pods find them so.
"""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from support.kube.provider import images, session
from support.kube.provider.__main__ import PROVIDER_VARIABLE
from support.kube.provider.client import Cluster
from support.paths import ROOT

CHART_REDIS = "valkey/valkey:9.1-alpine"


def qualified(name: str) -> str:
    """Return an image's name with its registry, as Docker and Kubernetes complete it."""
    first, slash, _ = name.partition("/")
    if slash and re.search(r"[.:]|^localhost$", first):
        return name
    return f"docker.io/{name}" if slash else f"docker.io/library/{name}"


def write_programs(cluster: Cluster, folder: Path) -> None:
    """Write scripts that replace missing programs into `folder`."""
    programs = {"native": ("docker", "kind"), "kind": ("kind",)}[cluster.provider.name]
    for program in programs:
        file = folder / program
        file.write_text(
            f'#!/bin/sh\nPYTHONPATH="{ROOT / "tests"}" exec "{sys.executable}" '
            f'-m support.kube.docs_tools {program} "$@"\n'
        )
        file.chmod(0o755)
    if cluster.provider.name == "native":  # otherwise the cluster pulls it
        images.build_redis(cluster.provider.builder)
        _load(cluster, images.REDIS_IMAGE, qualified(CHART_REDIS))


def _load(cluster: Cluster, built: str, name: str) -> None:
    cluster.provider.builder.tag(built, name)
    cluster.load_image(name)


def _docker(cluster: Cluster, words: Sequence[str]) -> None:
    verb, *rest = words
    if verb == "push":
        cluster.load_image(qualified(rest[0]))  # the name under which the node would have pulled it
        return
    parser = argparse.ArgumentParser(prog=f"docker {verb}")
    parser.add_argument("--target")
    parser.add_argument("--tag", required=True)
    parser.add_argument("--build-arg", action="append", default=[])
    parser.add_argument("context", type=Path)
    options = parser.parse_args(rest)
    args = dict(each.split("=", 1) for each in options.build_arg)
    if "BASE" in args:
        args["BASE"] = qualified(args["BASE"])
    context = options.context.resolve()
    tag = qualified(options.tag)
    cluster.build_image(context / "Dockerfile", tag, options.target, args, context=context)


def _kind(cluster: Cluster, words: Sequence[str]) -> None:
    if list(words[:2]) == ["create", "cluster"]:
        assert cluster.provider.running()
        return
    assert list(words[:2]) == ["load", "docker-image"], words
    docker = cluster.provider.name == "kind"
    for name in words[2:]:
        cluster.load_image(name if docker else qualified(name))


def main() -> int:
    """Do what the command line says."""
    cluster = Cluster(session.choose(os.environ[PROVIDER_VARIABLE]))
    {"docker": _docker, "kind": _kind}[sys.argv[1]](cluster, sys.argv[2:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
