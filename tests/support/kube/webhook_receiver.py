"""A receiver of webhooks in the test cluster: a pod that keeps each request for the test."""

import base64
import inspect
import json
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from support.kube import receiver_program
from support.kube.own_redis import restricted
from support.kube.provider.client import Cluster

NAME = "receiver"
PORT = 8080


@dataclass(frozen=True)
class Delivery:
    """One request."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def job_id(self) -> str:
        """The job that it is about."""
        return str(json.loads(self.body)["data"]["job"]["id"])

    def signed_by(self, secret: str) -> bool:
        """Return whether the official verifier accepts it with this secret."""
        try:
            Webhook(secret).verify(self.body, dict(self.headers))
        except WebhookVerificationError:
            return False
        return True


class WebhookReceiver:
    """The receiver as a test uses it; `url` is where the cluster reaches it, `base` where we do."""

    def __init__(self, cluster: Cluster, namespace: str, base: str) -> None:
        self.cluster, self.namespace, self._base = cluster, namespace, base
        self.url = f"http://{NAME}.{namespace}.svc:{PORT}/hooks"

    def hold(self) -> None:
        """Keep requests without an answer from now on."""
        self._post("/hold")

    def release(self) -> None:
        """Close the connections that are held, and answer what comes with 200."""
        self._post("/release")

    def _post(self, path: str) -> None:
        urllib.request.urlopen(f"{self._base}{path}", b"", timeout=30).close()

    def deliveries(self) -> list[Delivery]:
        """Return every request so far, in the order in which they came."""
        with urllib.request.urlopen(f"{self._base}/deliveries", timeout=30) as answer:
            return [
                Delivery(headers, base64.b64decode(body)) for headers, body in json.load(answer)
            ]


@contextmanager
def webhook_receiver(cluster: Cluster, namespace: str, image: str) -> Iterator[WebhookReceiver]:
    """A pod and its Service, which go with the namespace."""
    meta = {"name": NAME, "namespace": namespace, "labels": {"app": NAME}}
    container = {
        "name": NAME,
        "image": image,
        "command": ["python3", "-u", "-c", inspect.getsource(receiver_program), str(PORT)],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
    }
    pod = restricted(container)
    pod["securityContext"] |= {"runAsUser": 10_001}
    ports = {"selector": {"app": NAME}, "ports": [{"port": PORT}]}
    cluster.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": pod},
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": ports},
    )
    cluster.wait(namespace, f"pod/{NAME}", "condition=Ready")
    with cluster.service_url(namespace, NAME, PORT) as base:
        yield WebhookReceiver(cluster, namespace, base)
