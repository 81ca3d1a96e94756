"""The test cluster is a real one: pods, network, DNS, exec, Pod Security, limits."""

import contextlib
import json
import urllib.request
from typing import Any

import pytest

from support.kube.provider.client import Cluster
from support.kube.provider.shell import CommandError, wait_until

RESTRICTED_CONTAINER: dict[str, Any] = {
    "imagePullPolicy": "IfNotPresent",
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    },
}
RESTRICTED_POD: dict[str, Any] = {
    "enableServiceLinks": False,
    "terminationGracePeriodSeconds": 1,
    "securityContext": {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
}
SERVER = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = os.environ["POD_NAME"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
print("serving", flush=True)
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""
POD_NAME = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}


def container(image: str, command: list[str], **more: Any) -> dict[str, Any]:
    return {"name": "main", "image": image, "command": command, **RESTRICTED_CONTAINER, **more}


def pod(namespace: str, name: str, main: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {**RESTRICTED_POD, "restartPolicy": "Never", "containers": [main], **more},
    }


@pytest.fixture
def web(cluster: Cluster, namespace: str, base_image: str) -> str:
    """A Deployment of 2 Python pods and its Service, Ready; returns the namespace."""
    labels = {"app": "web"}
    probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    server = container(base_image, ["python3", "-c", SERVER], env=[POD_NAME], readinessProbe=probe)
    cluster.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": namespace},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        **RESTRICTED_POD,
                        "containers": [server],
                    },
                },
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": namespace},
            "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
        },
    )
    cluster.rollout(namespace, "deployment/web")
    return namespace


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        body: bytes = answer.read()
    return body.decode()


def web_pods(cluster: Cluster, namespace: str) -> set[str]:
    found = cluster.get("pods", "--namespace", namespace, "--selector=app=web")
    return {item["metadata"]["name"] for item in found["items"]}


def test_every_node_is_ready(cluster: Cluster) -> None:
    nodes = cluster.get("nodes")["items"]
    assert nodes
    for node in nodes:
        conditions = {item["type"]: item["status"] for item in node["status"]["conditions"]}
        assert conditions["Ready"] == "True"


def test_service_spreads_requests_from_the_host_over_both_pods(cluster: Cluster, web: str) -> None:
    pods = web_pods(cluster, web)
    with cluster.service_url(web, "web", 80) as url:

        def answered() -> set[str]:
            with contextlib.suppress(OSError):
                return {fetch(url) for _ in range(60)}
            return set()

        # kube-proxy programs the endpoints some time after the rollout is complete.
        wait_until("a pod answers", lambda: bool(answered()), seconds=60)
        assert answered() <= pods
        if cluster.provider.direct:  # a port-forward stays with one pod
            wait_until("both pods answer", lambda: answered() == pods, seconds=20)


def test_service_is_found_by_name_from_a_pod(cluster: Cluster, web: str) -> None:
    pods = web_pods(cluster, web)
    script = (
        "import urllib.request as u;"
        f"print({{u.urlopen('http://web.{web}.svc.cluster.local').read() for _ in range(60)}})"
    )

    def both_pods_answer() -> bool:
        # From one of the Service's own pods, to test hairpin traffic too.
        seen = cluster.kubectl(
            "exec", "--namespace", web, sorted(pods)[0], "--", "python3", "-c", script
        )
        return all(name in seen for name in pods)

    wait_until("both pods answer", both_pods_answer, seconds=20)


def test_logs_and_exec(cluster: Cluster, web: str) -> None:
    where = ["--namespace", web]
    name = sorted(web_pods(cluster, web))[0]
    assert "serving" in cluster.kubectl("logs", name, *where)
    assert cluster.kubectl("exec", name, *where, "--", "id", "-u").strip() == "10001"


def test_port_forward_outlives_its_pod(cluster: Cluster, web: str) -> None:
    with cluster.port_forward(web, "web", 80) as forward:
        first = fetch(forward.url)
        cluster.kubectl("delete", "pod", first, "--namespace", web, "--wait=true")

        def answers() -> bool:
            try:
                return fetch(forward.url) != first
            except OSError:
                return False

        wait_until("the forward is back", answers, seconds=60)


def test_restricted_namespace_refuses_a_privileged_pod(
    cluster: Cluster, namespace: str, base_image: str
) -> None:
    main = container(base_image, ["true"], securityContext={"privileged": True})
    with pytest.raises(CommandError, match="violates PodSecurity"):
        cluster.apply(pod(namespace, "privileged", main))


def test_pod_over_its_memory_limit_ends_oomkilled(
    cluster: Cluster, namespace: str, base_image: str
) -> None:
    greedy = ["python3", "-c", "held = [bytearray(1 << 20) for _ in range(1024)]"]
    limits = {"limits": {"memory": "48Mi", "cpu": "500m"}}
    cluster.apply(pod(namespace, "greedy", container(base_image, greedy, resources=limits)))
    cluster.wait(namespace, "pod/greedy", "jsonpath={.status.phase}=Failed")
    ended = cluster.get("pod", "greedy", "--namespace", namespace)
    terminated = ended["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (terminated["reason"], terminated["exitCode"]) == ("OOMKilled", 137)


def test_native_sidecar_ends_after_the_main_container(
    cluster: Cluster, namespace: str, base_image: str
) -> None:
    wait_for_term = (
        "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); signal.pause()"
    )
    sidecar = container(base_image, ["python3", "-c", wait_for_term], restartPolicy="Always")
    sidecar["name"] = "sidecar"
    main = container(base_image, ["python3", "-c", "print('done')"])
    cluster.apply(pod(namespace, "pair", main, initContainers=[sidecar]))
    cluster.wait(namespace, "pod/pair", "jsonpath={.status.phase}=Succeeded")
    status = cluster.get("pod", "pair", "--namespace", namespace)["status"]
    ended_main = status["containerStatuses"][0]["state"]["terminated"]["finishedAt"]
    ended_sidecar = status["initContainerStatuses"][0]["state"]["terminated"]["finishedAt"]
    assert ended_main <= ended_sidecar


def test_redis_image_runs_restricted_under_any_uid(
    cluster: Cluster, namespace: str, redis_image: str
) -> None:
    # As on OpenShift: a UID that the image does not know, group 0.
    assigned = {**RESTRICTED_POD["securityContext"], "runAsUser": 1000650000, "runAsGroup": 0}
    main = container(redis_image, [])
    del main["command"]
    main["readinessProbe"] = {"exec": {"command": ["redis-cli", "ping"]}, "periodSeconds": 1}
    main["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    redis = pod(namespace, "redis", main, volumes=[{"name": "data", "emptyDir": {}}])
    redis["spec"]["securityContext"] = {**assigned, "fsGroup": 0}
    cluster.apply(redis)
    cluster.wait(namespace, "pod/redis", "condition=Ready")
    inside = ["exec", "--namespace", namespace, "redis", "--", "redis-cli"]
    cluster.kubectl(*inside, "set", "key", "value")
    assert cluster.kubectl(*inside, "get", "key").strip() == "value"
    assert "aof_enabled:1" in cluster.kubectl(*inside, "info", "persistence")


def test_a_claimed_volume_outlives_its_pod(
    cluster: Cluster, namespace: str, base_image: str
) -> None:
    resources = {"requests": {"storage": "10Mi"}}
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": resources},
    }
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    cluster.apply(claim)
    for name, script in (("writer", "echo kept > /data/file"), ("reader", "cat /data/file")):
        main = container(base_image, ["sh", "-c", script])
        main["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
        cluster.apply(pod(namespace, name, main, volumes=[volume]))
        cluster.wait(namespace, f"pod/{name}", "jsonpath={.status.phase}=Succeeded")
    assert cluster.kubectl("logs", "--namespace", namespace, "reader").strip() == "kept"


def test_an_image_built_again_under_its_tag_replaces_the_first(
    cluster: Cluster, namespace: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("image")
    dockerfile = folder / "Dockerfile"
    said = []
    for word in ("one", "two"):
        (folder / "word").write_text(word)
        dockerfile.write_text(
            "ARG BASE=python:3.13-slim\nFROM ${BASE} AS first\nCOPY word /word\nUSER 10001:0\n"
            'FROM first AS second\nCMD ["cat", "/word"]\n'
        )
        tag = cluster.build_image(dockerfile, "localhost/rebuilt:test", target="second")
        image = cluster.load_image(tag)
        main = container(image, [])
        del main["command"]
        cluster.apply(pod(namespace, word, main))
        cluster.wait(namespace, f"pod/{word}", "jsonpath={.status.phase}=Succeeded")
        said.append(cluster.kubectl("logs", "--namespace", namespace, word))
    assert said == ["one", "two"]


def test_helm_installs_and_waits(
    cluster: Cluster, namespace: str, base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    chart = tmp_path_factory.mktemp("chart")
    (chart / "templates").mkdir()
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: probe\nversion: 0.1.0\n")
    main = container("{{ .Values.image }}", ["python3", "-c", "import signal; signal.pause()"])
    template = pod("{{ .Release.Namespace }}", "{{ .Release.Name }}", main)
    (chart / "templates" / "pod.yaml").write_text(json.dumps(template))
    options = ["--namespace", namespace, "--wait", "--timeout", "60s"]
    cluster.helm("install", "probe", str(chart), "--set", f"image={base_image}", *options)
    status = cluster.get("pod", "probe", "--namespace", namespace)["status"]
    assert status["phase"] == "Running"
    cluster.helm("uninstall", "probe", *options)
