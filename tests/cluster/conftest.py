"""The `cluster` fixture: one Kubernetes cluster per session, found or started, with progress.

Choose with `--cluster-provider` or ASYNCENDPOINTS_CLUSTER_PROVIDER: auto (the default),
kubeconfig, kind or native.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.kube import install, webhook_receiver
from support.kube.installed import Installed
from support.kube.provider import progress, session
from support.kube.provider.__main__ import PROVIDER_VARIABLE
from support.kube.provider.client import Cluster
from support.paths import KUBE

HERE = Path(__file__).parent
# The time of a test itself, without its fixtures.
TEST_SECONDS = 300


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cluster-provider",
        choices=session.CHOICES,
        default=None,
        help=f"where the tests' Kubernetes comes from (or set {PROVIDER_VARIABLE}); default auto",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("cluster")
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(TEST_SECONDS, func_only=True))


@pytest.fixture(scope="session")
def cluster_progress(request: pytest.FixtureRequest) -> Iterator[None]:
    """Show the progress lines on the terminal while fixtures build, despite pytest's capturing."""
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    capture = request.config.pluginmanager.get_plugin("capturemanager")

    assert capture is not None

    def write(line: str) -> None:
        with capture.global_and_fixture_disabled():
            if terminal is None:  # a process of pytest-xdist: its standard error is the run's
                sys.stderr.write(f"\n{line}\n")
                sys.stderr.flush()
            else:
                terminal.ensure_newline()
                terminal.write_line(line, flush=True)

    handler = progress.attach(write)
    yield
    progress.LOGGER.removeHandler(handler)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, cluster_progress: None) -> Iterator[Cluster]:
    """The session's cluster."""
    asked = request.config.getoption("--cluster-provider", default=None)
    wanted = asked or os.environ.get(PROVIDER_VARIABLE, "auto")
    with session.use(session.choose(wanted)) as provider:
        yield Cluster(provider)


@pytest.fixture(scope="session")
def base_image(cluster: Cluster) -> str:
    """The name of the loaded image that contains Python only."""
    return cluster.base_image()


@pytest.fixture(scope="session")
def redis_image(cluster: Cluster) -> str:
    """The name of the loaded Redis image."""
    return cluster.redis_image()


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace for one test, with the `restricted` standard enforced."""
    with cluster.namespace("test") as name:
        yield name


@pytest.fixture(scope="session")
def images(cluster: Cluster) -> dict[str, str]:
    """The project's images by role, built and loaded."""
    return install.project_images(cluster)


@pytest.fixture(scope="session")
def installed(cluster: Cluster, images: dict[str, str], redis_image: str) -> Installed:
    """The installed chart with its development Redis, and the image with the tests' handlers."""
    values = install.chart_values(images, redis_image)
    # Shorter than the defaults where a test would only have to wait.
    shorter = {"ASYNCENDPOINTS_KEEP_SECONDS": "20"}
    values["operator"] = {"env": [{"name": k, "value": v} for k, v in shorter.items()]}
    # A test's receiver of webhooks has an address of the cluster.
    values["webhooks"] = {"allowPrivateCidrs": ["10.0.0.0/8"], "ports": [webhook_receiver.PORT]}
    values["console"] = {"enabled": True, "bodies": True}
    install.install_chart(cluster, values)
    dockerfile = KUBE / "images" / "jobs" / "Dockerfile"
    args = {"BASE": images["worker"]}
    worker = cluster.publish_image(dockerfile, "localhost/tests-jobs", build_args=args)
    return Installed(cluster, images, worker, redis_image)
