"""The console of an endpoint in a cluster: by `kubectl aep`, with the documentation's Roles.

The commands of docs/console.md and docs/command.md for clusters are run here.
"""

import base64
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.cli import Answer, ask, eventually
from support.doc_pages import fences
from support.kube.installed import SYSTEM_NAMESPACE, Endpoint, Installed
from support.kube.provider.client import Cluster
from support.paths import ROOT
from support.ports import free_port

PAGE, COMMAND_PAGE = ((ROOT / "docs" / name).read_text() for name in ("console.md", "command.md"))
COMMANDS = [
    line.partition("  #")[0].strip()
    for page in (PAGE, COMMAND_PAGE)
    for language, text in fences(page)
    if language == "sh"
    for line in text.splitlines()
]
ENDLESS = re.compile("aep console|port-forward")


@pytest.fixture(scope="module")
def endpoint(installed: Installed) -> Iterator[Endpoint]:
    """An endpoint whose jobs wait."""
    with (
        installed.cluster.namespace("console") as place,
        installed.endpoint(place, "reports", suspend=True) as endpoint,
    ):
        yield endpoint


def role(endpoint: Endpoint, name: str) -> None:
    """Create the documentation's Role for a role of the console, for a user of that name."""
    [text] = [
        text for language, text in fences(PAGE) if language == "yaml" and "kind: Role" in text
    ]
    text = text.replace("shop", endpoint.namespace).replace("console-view", f"console-{name}")
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": endpoint.namespace},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Role",
            "name": f"reports-console-{name}",
        },
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}],
    }
    endpoint.cluster.apply(yaml.safe_load(text), binding)


def environment(endpoint: Endpoint, file: Path) -> dict[str, str]:
    """Return the environment of somebody who uses the endpoint's namespace by default."""
    whole = endpoint.cluster.kubectl("config", "view", "--raw", "--flatten", "-o", "json")
    config = json.loads(whole)
    for context in config["contexts"]:
        context["context"]["namespace"] = endpoint.namespace
    file.write_text(json.dumps(config))
    env = {**os.environ, **endpoint.cluster.environment, "KUBECONFIG": str(file)}
    return {**env, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"}


class Person:
    """A user of the cluster with a kubeconfig of their own."""

    def __init__(self, endpoint: Endpoint, folder: Path, name: str) -> None:
        role(endpoint, name)
        file = folder / name
        self.environment = environment(endpoint, file)
        config = json.loads(file.read_text())
        for user in config["users"]:
            user["user"]["as"] = name
        file.write_text(json.dumps(config))

    def aep(self, *words: str, status: int = 0) -> str:
        """Run `kubectl aep …`; return what it prints."""
        done = subprocess.run(
            ["kubectl", "aep", *words],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr


def test_who_may_look_looks_and_who_may_act_acts(endpoint: Endpoint, tmp_path: Path) -> None:
    job = endpoint.submit(value="wait")
    viewer = Person(endpoint, tmp_path, "view")
    [shown] = json.loads(viewer.aep("jobs", "list", "-e", "reports", "-o", "json"))
    assert (shown["id"], shown["state"]) == (job, "Queued")
    assert endpoint.namespace in viewer.aep("queue", "show", "-e", "reports")
    refused = viewer.aep("jobs", "cancel", job, "-e", "reports", status=1)
    assert "the view token does not allow changes" in refused
    assert endpoint.job(job)["state"] == "Queued"
    operator, place = Person(endpoint, tmp_path, "operate"), endpoint.namespace
    assert job in operator.aep("jobs", "cancel", job, "-n", place, "-e", "reports")
    assert endpoint.job(job)["state"] == "Canceled"
    refused = operator.aep("jobs", "list", "-e", "absent", status=1)
    assert "no token of the console of absent" in refused
    assert "forbidden" in refused


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_of_the_pages_run(endpoint: Endpoint, tmp_path: Path, line: str) -> None:
    env = environment(endpoint, tmp_path / "config")
    context = endpoint.cluster.kubectl("config", "current-context").strip()
    line = line.replace("shop", endpoint.namespace).replace("production", context)
    line = line.replace(" 9091", f" {free_port()}:9091")  # that of a `run` here may be taken
    if ENDLESS.search(line):
        with subprocess.Popen(
            ["bash", "-c", f"exec {line} {'--no-browser' if 'aep' in line else ''}"],
            env=env,
            stdout=subprocess.PIPE,
            text=True,
        ) as running:
            assert running.stdout is not None
            assert "127.0.0.1:" in running.stdout.readline()
            running.send_signal(signal.SIGINT)
    else:
        done = subprocess.run(
            ["bash", "-c", line], env=env, capture_output=True, text=True, check=False
        )
        nothing = "retry" in line  # no job has failed
        assert done.returncode == (2 if nothing else 0), done.stderr
        assert ("match" in done.stderr) is nothing, done.stderr


def test_nobody_connects_by_the_pods_address(endpoint: Endpoint) -> None:
    if not endpoint.cluster.provider.direct:
        return
    for pod in (*endpoint.pods("gateway"), console_pod(endpoint.cluster)):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((pod["status"]["podIP"], 9_091), timeout=10)


def console_pod(cluster: Cluster) -> dict[str, Any]:
    """Return the pod of the console of all endpoints."""
    words = ("--namespace", SYSTEM_NAMESPACE, "-l", "app.kubernetes.io/component=console")
    [pod] = cluster.get("pods", *words)["items"]
    return dict(pod)


@contextlib.contextmanager
def forwarded(cluster: Cluster) -> Iterator[str]:
    """Forward a port to the console of all endpoints as the page says, on a free port."""
    [line] = [line for line in COMMANDS if "asyncendpoints-console " in line and "forward" in line]
    with subprocess.Popen(
        ["bash", "-c", "exec " + line.replace(" 9091", f" {free_port()}:9091")],
        env={**os.environ, **cluster.environment},
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        address = running.stdout.readline().split()[2]
        yield f"http://{address}/api/v1"
        running.send_signal(signal.SIGINT)


def test_the_console_of_all_endpoints_shows_them_and_acts(
    installed: Installed, endpoint: Endpoint
) -> None:
    cluster = installed.cluster
    found = cluster.get("secret", "asyncendpoints-console", "--namespace", SYSTEM_NAMESPACE)
    tokens = {name: base64.b64decode(text).decode() for name, text in found["data"].items()}
    job, here = endpoint.submit(value="wait"), f"{endpoint.namespace}/reports"
    with (
        cluster.namespace("console-too") as place,
        installed.endpoint(place, "mails", suspend=True) as other,
        forwarded(cluster) as url,
    ):

        def call(path: str, role: str, method: str = "GET") -> Answer:
            headers = {"Authorization": f"Bearer {tokens[role]}"}
            return ask(f"{url}{path}", method, Content_Type="application/json", **headers)

        def shown() -> dict[str, Any]:
            items = call("/endpoints", "view").json["items"]
            return {f"{item['namespace']}/{item['name']}": item for item in items}

        wanted = {here, f"{other.namespace}/mails"}
        eventually(lambda: wanted <= shown().keys())
        assert all(shown()[key]["reachable"] for key in wanted)
        assert call("", "view").json["scope"] == "all"
        path = f"/endpoints/{here}/jobs/{job}"
        assert call(f"{path}/cancel", "view", "POST").status == 403
        assert call(f"{path}/cancel", "operate", "POST").json["state"] == "Canceled"
    assert endpoint.job(job)["state"] == "Canceled"
    eventually(lambda: f"{other.namespace}/mails" not in shown_later(cluster, tokens["view"]))
    pod = console_pod(cluster)
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert not any("projected" in volume for volume in pod["spec"]["volumes"])


def shown_later(cluster: Cluster, token: str) -> set[str]:
    """Return what the console of all endpoints shows by another port-forward."""
    with forwarded(cluster) as url:
        items = ask(f"{url}/endpoints", Authorization=f"Bearer {token}").json["items"]
        return {f"{item['namespace']}/{item['name']}" for item in items}


def secret(endpoint: Endpoint, name: str) -> dict[str, Any]:
    found = endpoint.kubectl("get", "secret", name, "--ignore-not-found", "-o", "json")
    return json.loads(found) if found else {}


def test_a_secret_of_somebody_else_is_left_alone_and_reported(
    installed: Installed, endpoint: Endpoint
) -> None:
    place = endpoint.namespace
    foreign = "other-console-view"
    endpoint.kubectl("create", "secret", "generic", foreign, "--from-literal=token=mine")
    with installed.endpoint(place, "other", suspend=True) as other:
        other.until(
            "ConsoleTokenMissing",
            lambda _: other.condition("Degraded").get("reason") == "ConsoleTokenMissing",
        )
        assert other.condition("Ready")["status"] == "True"
        assert secret(other, foreign)["data"] == {"token": "bWluZQ=="}
        endpoint.kubectl("delete", "secret", foreign)
        other.until(
            "AsExpected", lambda _: other.condition("Degraded").get("reason") == "AsExpected"
        )
        assert secret(other, foreign)["metadata"]["ownerReferences"][0]["name"] == "other"
        other.patch({"gateway": {"console": {"enabled": False}}})
        other.until("no Secret", lambda _: not secret(other, foreign))
        assert not secret(other, "other-console-operate")
