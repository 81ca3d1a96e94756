"""Installing and uninstalling as in README.md and the chart's README."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.doc_pages import Block
from support.kube import install
from support.kube.docs_script import Clone, by_hand, start_redis
from support.kube.installed import SYSTEM_NAMESPACE, Endpoint, Installed
from support.kube.provider.client import Cluster
from support.pages import commands
from support.paths import ROOT

PAGE = "docs/kubernetes.md"
AWAY = by_hand(PAGE, "it takes the CRD away from everybody; tests/cluster/test_docs_install.py")
HAND_OVER = by_hand("docs/operations.md", "for another release; tests/cluster/test_docs_install.py")
IMAGES = by_hand(PAGE, "needs Docker")
CRD = "crd/asyncendpoints.asyncendpoints.io"
OWNER = r"jsonpath={.metadata.annotations.meta\.helm\.sh/release-name}"


@pytest.fixture
def clone(installed: Installed, tmp_path: Path) -> Iterator[Clone]:
    """A clone, and the quick start's images; the tests' own installation is restored afterwards."""
    cluster = installed.cluster
    if cluster.provider.name == "kubeconfig":
        pytest.skip("takes the CRD away, and this cluster is not the tests' own")
    where = ("--namespace", SYSTEM_NAMESPACE)
    values = json.loads(cluster.helm("get", "values", "asyncendpoints", *where, "-o", "json"))
    clone = Clone(cluster, tmp_path)
    clone.run([IMAGES])
    cluster.create_namespace("demo")
    yield clone
    for release in ("asyncendpoints", "other"):
        cluster.helm("uninstall", release, *where, "--ignore-not-found", "--wait")
    cluster.kubectl("delete", CRD, "--ignore-not-found")
    install.install_chart(cluster, values)


def said(page: str, starts: str) -> list[Block]:
    """The commands of a page's console blocks with this prefix, each as a block."""
    lines = [line for line in commands(ROOT / page) if line.startswith(starts)]
    return [Block(page, 0, line.rstrip() + "\n", None) for line in lines]


def example(cluster: Cluster) -> Endpoint:
    """The example as in the README: in kubectl's current namespace."""
    endpoint = Endpoint(cluster, "default", "reports")
    endpoint.until_ready()
    return endpoint


@pytest.mark.timeout(1_200, func_only=True)
def test_the_ways_to_install_and_to_uninstall(
    installed: Installed, cluster: Cluster, clone: Clone
) -> None:
    clone.run([AWAY])
    assert not cluster.kubectl("get", CRD, "--ignore-not-found")

    (first,) = said("README.md", "helm install")
    out = clone.run([first, *said("README.md", "kubectl apply")])
    assert "kubectl get aep" in out  # NOTES.txt: the next commands
    endpoint = example(cluster)
    columns = clone.run(said("README.md", "kubectl get aep")).splitlines()[1].split()
    assert columns == commands_header()
    endpoint.delete("--wait=true")

    # Uninstalled without its CRD, which is then transferred to another release.
    where = ("--namespace", SYSTEM_NAMESPACE)
    cluster.helm("uninstall", "asyncendpoints", *where, "--wait")
    assert cluster.kubectl("get", CRD, "-o", OWNER) == "asyncendpoints"
    clone.run([HAND_OVER])
    charts = str(clone.folder / "charts" / "asyncendpoints")
    cluster.helm("install", "other", charts, *where, "--wait", "--timeout", "3m")
    cluster.helm("uninstall", "other", *where, "--wait")
    cluster.kubectl("delete", CRD)

    # With a Redis of the user.
    plain, own = said("charts/asyncendpoints/README.md", "helm install")
    assert plain.text == first.text
    secret = ("create", "secret", "generic", "my-redis", *where)
    with cluster.namespace("redis") as place:
        start_redis(installed, place, "mine", "--requirepass", "secret")
        host = f"mine.{place}.svc:6379/0"
        cluster.kubectl(*secret, f"--from-literal=url=redis://:secret@{host}")
        clone.run([own, *said("README.md", "kubectl apply")])
        endpoint = example(cluster)
        assert endpoint.condition("QueueReachable")["status"] == "True"
        assert endpoint.status["queue"] == f"redis://{host}"
        endpoint.delete("--wait=true")
        cluster.kubectl("delete", "secret", "my-redis", *where)


def commands_header() -> list[str]:
    """The columns that the README shows."""
    text = (ROOT / "README.md").read_text()
    return next(line for line in text.splitlines() if line.startswith("NAME ")).split()
