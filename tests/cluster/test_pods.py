"""What a resource sets on its pods, in a running pod."""

from typing import Any

from support.kube.installed import Installed
from support.kube.provider.shell import wait_until

IGNORES_SIGTERM = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(10**6)"
SERVER = """
import http.server
class Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'"served"')
http.server.HTTPServer(("", 3000), Answer).serve_forever()
"""
LEGACY = {"ip": "10.1.2.3", "hostnames": ["legacy.example.com"]}


def python(image: str, name: str, code: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "image": image, "command": ["python", "-c", code], **more}


def test_a_sidecar_starts_before_a_worker_and_never_keeps_it(
    installed: Installed, namespace: str
) -> None:
    image = installed.worker_image
    mount = [{"name": "shared", "mountPath": "/shared"}]
    wrapper = (
        "import os, sys; os.execvp('asyncendpoints', ['asyncendpoints', 'worker', *sys.argv[1:]])"
    )
    worker = {
        "command": ["python", "-c", wrapper],
        "volumes": [{"name": "shared", "emptyDir": {}}],
        "initContainers": [
            python(image, "first", "open('/shared/first', 'w')", volumeMounts=mount),
        ],
        "sidecars": [
            python(
                image,
                "proxy",
                f"open('/shared/first'); {IGNORES_SIGTERM}",
                volumeMounts=mount,
            )
        ],
        "hostAliases": [LEGACY],
    }
    with installed.endpoint(
        namespace,
        "beside",
        replicas=1,
        worker=worker,
        gateway={"podDisruptionBudget": {"enabled": False}},
        timeouts={"executionSeconds": 600},
        labels={"team": "batch"},
    ) as endpoint:
        endpoint.until_workers(1)
        (pod,) = endpoint.pods("worker")
        name = pod["metadata"]["name"]
        assert endpoint.finished(endpoint.submit(value=1))["state"] == "Completed"
        assert "legacy" in endpoint.kubectl("exec", name, "-c", "worker", "--", "cat", "/etc/hosts")
        kinds = "all,configmaps,serviceaccounts,secrets,replicasets,poddisruptionbudgets"
        found = installed.cluster.get(kinds, "-n", namespace, "-l", "team=batch")["items"]
        kinds_found = {one["kind"] for one in found}
        assert kinds_found >= {
            *("Deployment", "ReplicaSet", "Pod", "Service", "ConfigMap", "ServiceAccount", "Secret")
        }
        assert "PodDisruptionBudget" not in kinds_found

        job = endpoint.submit(seconds=5)
        endpoint.until("the job runs", lambda status: status["jobs"]["inProgress"] == 1)
        endpoint.patch({"replicas": 0})
        wait_until("the pod to be gone", lambda: not endpoint.pods("worker"), seconds=60)
        assert endpoint.finished(job)["attempt"] == 1


def test_the_agent_of_http_mode_fits_a_quota_on_limits(
    installed: Installed, namespace: str
) -> None:
    quota = {"hard": {"limits.memory": "4Gi", "limits.cpu": "4"}}
    installed.cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "limits", "namespace": namespace},
            "spec": quota,
        }
    )
    limits = {"limits": {"cpu": "500m", "memory": "256Mi"}, "requests": {"cpu": "10m"}}
    with installed.endpoint(
        namespace,
        "served",
        gateway={"resources": limits},
        worker={
            "handlers": None,
            "http": {"port": 3000},
            "command": ["python", "-c"],
            "args": [SERVER],
            "resources": limits,
            "agentResources": limits,
        },
        autoscaling={"minReplicas": 1},
    ) as endpoint:
        job = endpoint.submit(value=1)
        assert endpoint.finished(job)["state"] == "Completed"
        assert endpoint.result(job) == "served"
