"""Two endpoints of the same name in two namespaces, on the operator's own Redis."""

import base64
from collections.abc import Iterator

import pytest

from support.kube.installed import Endpoint, Installed
from support.kube.provider.client import Cluster
from support.kube.provider.shell import wait_until

NAME = "twin"


@pytest.fixture(scope="module")
def twins(installed: Installed) -> Iterator[tuple[Endpoint, Endpoint]]:
    """Both endpoints, each with one permanent worker."""
    spec = {"autoscaling": {"minReplicas": 1}}
    with (
        installed.cluster.namespace("left") as left,
        installed.cluster.namespace("right") as right,
        installed.endpoint(left, NAME, **spec) as one,
        installed.endpoint(right, NAME, **spec) as other,
    ):
        yield one, other


def test_neither_sees_the_jobs_of_the_other(twins: tuple[Endpoint, Endpoint]) -> None:
    one, other = twins
    jobs = {one.submit(value="left"), one.submit(value="left too")}
    theirs = other.submit(value="right")
    for job in jobs:
        assert one.finished(job)["state"] == "Completed"
        assert other.request("GET", f"/jobs/{job}").status == 404
    assert other.finished(theirs)["state"] == "Completed"
    assert {job["id"] for job in one.all_jobs()} == jobs
    assert {job["id"] for job in other.all_jobs()} == {theirs}
    mine = {pod["metadata"]["name"] for pod in one.pods("worker")}
    assert {one.result(job)["pod"] for job in jobs} <= mine


def test_credentials_of_one_cannot_read_the_keys_of_the_other(
    twins: tuple[Endpoint, Endpoint], installed: Installed
) -> None:
    one, other = twins
    user, password = credentials(one)
    as_one = ("--user", user, "--pass", password, "--no-auth-warning")

    def key(endpoint: Endpoint, part: str) -> str:
        return f"aep:{{{endpoint.namespace}/{NAME}}}:{part}"

    assert installed.redis(*as_one, "HGET", key(one, "meta"), "schema") == "1"
    assert installed.redis("HGET", key(other, "meta"), "schema") == "1"
    for words in (
        ("HGET", key(other, "meta"), "schema"),
        ("HGETALL", key(other, "jobs")),
        ("DEL", key(other, "jobs")),
        ("SUBSCRIBE", key(other, "events")),
    ):
        assert "NOPERM" in installed.redis(*as_one, *words)


def test_deleting_a_namespace_is_not_blocked_and_leaves_the_other(
    cluster: Cluster, twins: tuple[Endpoint, Endpoint], installed: Installed
) -> None:
    one, other = twins
    key = f"aep:{{{other.namespace}/{NAME}}}:jobs"
    assert installed.redis("EXISTS", key) == "1"
    cluster.kubectl("delete", "namespace", other.namespace, "--timeout=120s")
    wait_until("the keys to be purged", lambda: installed.redis("EXISTS", key) == "0", seconds=120)
    assert f"aep.{other.namespace}.{NAME}" not in installed.redis("ACL", "USERS").splitlines()
    assert one.finished(one.submit(value="still here"))["state"] == "Completed"


def credentials(endpoint: Endpoint) -> tuple[str, str]:
    """The user and password in the Secret that the endpoint's pods mount."""
    volumes = endpoint.pods("worker")[0]["spec"]["volumes"]
    name = next(v["secret"]["secretName"] for v in volumes if v.get("secret"))
    secret = endpoint.cluster.get("secret", name, "--namespace", endpoint.namespace)
    url = base64.b64decode(secret["data"]["url"]).decode()
    user, _, password = url.partition("://")[2].rpartition("@")[0].partition(":")
    return user, password
