"""`make cluster-install`: the project on the test cluster, as a user would install it.

Builds and loads the images of the Dockerfile, installs the chart with its development Redis in
namespace `asyncendpoints`, then each example that has an `endpoint.yaml` in namespace `demo`.
"""

import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from support.kube.provider import progress, session
from support.kube.provider.__main__ import PROVIDER_VARIABLE
from support.kube.provider.client import Cluster
from support.kube.provider.layout import REPOSITORY
from support.kube.provider.shell import ClusterError

log = logging.getLogger("cluster")

CHART = REPOSITORY / "charts" / "asyncendpoints"
ROLES = ("operator", "gateway", "worker")
SYSTEM_NAMESPACE = "asyncendpoints"
DEMO_NAMESPACE = "demo"


def project_images(cluster: Cluster) -> dict[str, str]:
    """Build and load the image of each role; returns the names that pods use."""
    dockerfile = REPOSITORY / "Dockerfile"
    return {
        role: cluster.publish_image(dockerfile, f"localhost/asyncendpoints-{role}", role)
        for role in ROLES
    }


def chart_values(images: Mapping[str, str], redis_image: str) -> dict[str, Any]:
    """The chart's values for these images."""
    roles = {role: _split(image) for role, image in images.items()}
    return {"images": roles, "redis": {"development": {"image": _split(redis_image)}}}


def install_chart(cluster: Cluster, values: Mapping[str, Any], chart: Path = CHART) -> None:
    """Install or upgrade the release `asyncendpoints` and wait until all of it is Ready."""
    cluster.create_namespace(SYSTEM_NAMESPACE)
    options = ["--namespace", SYSTEM_NAMESPACE, "--values", "-", "--wait", "--timeout", "3m"]
    install = ["upgrade", "--install", "asyncendpoints", str(chart), *options]
    log.info("installing the chart")
    try:
        cluster.helm(*install, stdin=json.dumps(values))
    except ClusterError as error:
        raise ClusterError(f"{error}\n{cluster.diagnose(SYSTEM_NAMESPACE)}") from error


def examples(cluster: Cluster, worker_image: str) -> Iterator[dict[str, Any]]:
    """The resource of each example that has an image, or a Dockerfile to build it from."""
    for file in sorted((REPOSITORY / "examples").glob("*/endpoint.yaml")):
        resource: dict[str, Any] = yaml.safe_load(file.read_text())
        dockerfile = file.parent / "Dockerfile"
        if dockerfile.exists():
            repository = f"localhost/example-{file.parent.name}"
            args = {"BASE": worker_image}
            image = cluster.publish_image(dockerfile, repository, build_args=args)
            resource["spec"].setdefault("worker", {})["image"] = image
        if "image" in resource["spec"].get("worker", {}):
            yield resource


def apply_examples(cluster: Cluster, worker_image: str) -> list[str]:
    """Apply every example in namespace `demo` and wait until each is Ready; returns their names."""
    cluster.create_namespace(DEMO_NAMESPACE)
    names = []
    for resource in examples(cluster, worker_image):
        resource["metadata"]["namespace"] = DEMO_NAMESPACE
        cluster.apply(resource)
        names.append(resource["metadata"]["name"])
    for name in names:
        cluster.wait(DEMO_NAMESPACE, f"asyncendpoint/{name}", "condition=Ready")
    return names


def main() -> int:
    """Install everything and print what to try; returns the exit status."""
    progress.to_stream(sys.stderr)
    try:
        provider = session.choose(os.environ.get(PROVIDER_VARIABLE, "auto"))
        session.up(provider)
        cluster = Cluster(provider)
        images = project_images(cluster)
        install_chart(cluster, chart_values(images, cluster.redis_image()))
        names = apply_examples(cluster, images["worker"])
    except ClusterError as error:
        log.error("%s", error)
        return 1
    sys.stdout.write(f"Installed; in namespace {DEMO_NAMESPACE}: {', '.join(names)}. Try:\n")
    sys.stdout.write(f"export KUBECONFIG={cluster.kubeconfig}\n")
    sys.stdout.write(f"kubectl get aep --namespace {DEMO_NAMESPACE} --watch\n")
    return 0


def _split(image: str) -> dict[str, str]:
    repository, _, tag = image.rpartition(":")
    return {"repository": repository, "tag": tag}


if __name__ == "__main__":
    sys.exit(main())
