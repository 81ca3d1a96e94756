"""A receiver of webhooks in the test cluster: a pod that keeps each request for the test."""

import base64
import inspect
import json
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

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
    """A pod and its Service, removed with the namespace; used in a `with` block."""

    def __init__(self, cluster: Cluster, namespace: str, image: str) -> None:
        self.cluster, self.namespace, self.image = cluster, namespace, image
        self.url = f"http://{NAME}.{namespace}.svc:{PORT}/hooks"
        self._connection = cluster.service_url(namespace, NAME, PORT)
        self._base = ""

    def __enter__(self) -> "WebhookReceiver":
        meta = {"name": NAME, "namespace": self.namespace, "labels": {"app": NAME}}
        container = {
            "name": NAME,
            "image": self.image,
            "command": ["python3", "-u", "-c", inspect.getsource(receiver_program), str(PORT)],
            "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
        }
        self.cluster.apply(
            {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": self._pod(container)},
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": meta,
                "spec": {"selector": {"app": NAME}, "ports": [{"port": PORT}]},
            },
        )
        self.cluster.wait(self.namespace, f"pod/{NAME}", "condition=Ready")
        self._base = self._connection.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.__exit__(kind, error, trace)

    @staticmethod
    def _pod(container: Mapping[str, Any]) -> dict[str, Any]:
        spec = restricted(container)
        spec["securityContext"] |= {"runAsUser": 10_001}
        return spec

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
