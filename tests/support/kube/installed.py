"""The project installed on the test cluster by its chart, and an endpoint for a test to use."""

import contextlib
import json
import urllib.error
import urllib.request
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from support.kube.provider.client import Cluster
from support.kube.provider.shell import ClusterError, CommandError, wait_until

SYSTEM_NAMESPACE = "asyncendpoints"
OPERATOR = "deployment/asyncendpoints-operator"
REDIS_POD = "asyncendpoints-redis-0"
ROUTES = [
    {"path": "/run", "job": "run"},
    {"path": "/crash", "job": "crash"},
    {"path": "/eat", "job": "eat"},
]
FINAL = {"Completed", "Failed", "Canceled"}


@dataclass(frozen=True)
class Answer:
    """The gateway's response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Endpoint:
    """One applied AsyncEndpoint, with the operations of a client and an administrator."""

    cluster: Cluster
    namespace: str
    name: str
    url: str = ""
    _open: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 90,
    ) -> Answer:
        """Send a request to the gateway through its Service."""
        if not self.url:
            self.url = self._open.enter_context(
                self.cluster.service_url(self.namespace, self.name, 80)
            )
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path,
            data,
            {"Content-Type": "application/json", **(headers or {})},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return Answer(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read())

    def submit(self, path: str = "/run", **body: Any) -> str:
        """Submit a job and return its id; it must be accepted."""
        answer = self.request("POST", path, body)
        assert answer.status == 202, (answer.status, answer.body)
        return str(answer.json["id"])

    def job(self, job_id: str, wait: float = 0) -> dict[str, Any]:
        """Return a job as the gateway shows it, after a change or `wait` seconds."""
        answer = self.request("GET", f"/jobs/{job_id}" + (f"?wait={wait:.0f}" if wait else ""))
        assert answer.status == 200, (answer.status, answer.body)
        found: dict[str, Any] = answer.json
        return found

    def finished(self, job_id: str, *, seconds: float = 120) -> dict[str, Any]:
        """Wait until a job is final and return it."""
        found = self.job(job_id)

        def final() -> bool:
            nonlocal found
            if found["state"] not in FINAL:
                with contextlib.suppress(OSError, AssertionError):
                    found = self.job(job_id, wait=5)
            return found["state"] in FINAL

        try:
            wait_until(f"job {job_id} to end", final, seconds=seconds)
        except ClusterError as error:
            raise AssertionError(f"{error}: {found}\n{self.diagnose()}") from None
        return found

    def result(self, job_id: str) -> Any:
        """Return the JSON result of a completed job."""
        answer = self.request("GET", f"/jobs/{job_id}/result")
        assert answer.status == 200, (answer.status, answer.body)
        return answer.json

    def all_jobs(self) -> list[dict[str, Any]]:
        """Return every job, page by page."""
        items: list[dict[str, Any]] = []
        more = ""
        while True:
            page = self.request("GET", f"/jobs?limit=500{more}").json
            items += page["items"]
            if page["nextCursor"] is None:
                return items
            more = f"&cursor={page['nextCursor']}"

    def get(self) -> dict[str, Any]:
        """Return the resource."""
        return self.cluster.get("aep", self.name, "--namespace", self.namespace)

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.get().get("status", {})
        return found

    def condition(self, kind: str) -> dict[str, Any]:
        """Return a condition of the resource, {} without it."""
        conditions = self.status.get("conditions", [])
        return next((one for one in conditions if one["type"] == kind), {})

    def until(
        self, what: str, ready: Callable[[dict[str, Any]], bool], *, seconds: float = 120
    ) -> dict[str, Any]:
        """Wait until the resource's status meets the condition, and return it."""
        status: dict[str, Any] = {}

        def asked() -> bool:
            nonlocal status
            status = self.status
            return ready(status)

        try:
            wait_until(f"{self.name}: {what}", asked, seconds=seconds, every=0.3)
        except ClusterError as error:
            raise AssertionError(
                f"{error}\n{json.dumps(status, indent=1)}\n{self.diagnose()}"
            ) from None
        return status

    def until_ready(self, *, seconds: float = 120) -> None:
        """Wait until the resource's current generation is Ready."""
        generation = self.get()["metadata"]["generation"]

        def ready(status: dict[str, Any]) -> bool:
            conditions = {c["type"]: c["status"] for c in status.get("conditions", [])}
            current = status.get("observedGeneration", 0) >= generation
            return current and conditions.get("Ready") == "True"

        self.until("Ready", ready, seconds=seconds)

    def until_workers(self, count: int, *, seconds: float = 120) -> None:
        """Wait until there are exactly this many worker pods, all ready and none terminating."""

        def there() -> bool:
            pods = self.pods("worker")
            return len(pods) == count and all(is_ready(pod) for pod in pods)

        try:
            wait_until(f"{count} workers of {self.name}", there, seconds=seconds, every=0.3)
        except ClusterError as error:
            raise AssertionError(f"{error}\n{self.diagnose()}") from None

    def pods(self, component: str) -> list[dict[str, Any]]:
        """Return the pods of a component, including terminating ones."""
        selector = f"app.kubernetes.io/instance={self.name},app.kubernetes.io/component={component}"
        found = self.cluster.get("pods", "--namespace", self.namespace, "-l", selector)
        items: list[dict[str, Any]] = found["items"]
        return items

    def kubectl(self, *words: str, **options: Any) -> str:
        """Run kubectl in the endpoint's namespace."""
        return self.cluster.kubectl("--namespace", self.namespace, *words, **options)

    def patch(self, spec: Mapping[str, Any]) -> None:
        """Merge a change into the spec; None removes a field."""
        patch = json.dumps({"spec": spec})
        self.kubectl("patch", "aep", self.name, "--type=merge", "-p", patch)

    def events(self) -> list[str]:
        """Return the reasons of the Events about the resource."""
        found = self.cluster.get("events", "--namespace", self.namespace)["items"]
        mine = [e for e in found if e["involvedObject"].get("name") == self.name]
        return [e["reason"] for e in mine if e["involvedObject"].get("kind") == "AsyncEndpoint"]

    def diagnose(self) -> str:
        """Return the state of the endpoint, for the message of a failed test."""
        texts = [self.cluster.diagnose(self.namespace)]
        for place, what in (
            (SYSTEM_NAMESPACE, OPERATOR),
            (self.namespace, f"deployment/{self.name}-worker"),
            (self.namespace, f"deployment/{self.name}-gateway"),
        ):
            with contextlib.suppress(CommandError):
                log = self.cluster.kubectl("logs", "--namespace", place, what, "--tail=20")
                texts.append(f"== {what}\n{log}")
        return "\n".join(texts)

    def delete(self, *options: str) -> None:
        """Delete the resource, and wait until it is gone."""
        self.kubectl("delete", "aep", self.name, *options)

    def close(self) -> None:
        """Close the connection to its Service."""
        self._open.close()


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod is ready and not terminating."""
    conditions = {c["type"]: c["status"] for c in pod.get("status", {}).get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


@dataclass
class Installed:
    """The installed chart, with images that its endpoints can use."""

    cluster: Cluster
    images: Mapping[str, str]
    worker_image: str
    redis_image: str

    def resource(self, namespace: str, name: str, **spec: Any) -> dict[str, Any]:
        """Return an AsyncEndpoint with the tests' handlers; `spec` is merged over it."""
        worker = {
            "image": self.worker_image,
            "handlers": "jobs",
            "concurrency": 2,
            "resources": {"requests": {"cpu": "20m"}},
        }
        base: dict[str, Any] = {
            "routes": ROUTES,
            "gateway": {"replicas": 1},
            "worker": worker,
            "autoscaling": {"maxReplicas": 4, "targetWaitSeconds": 1, "idleSeconds": 5},
            "timeouts": {"executionSeconds": 60},
        }
        for key, value in spec.items():
            known = base.get(key)
            base[key] = {**known, **value} if isinstance(known, dict) else value
        return {
            "apiVersion": "asyncendpoints.io/v1alpha1",
            "kind": "AsyncEndpoint",
            "metadata": {"name": name, "namespace": namespace},
            "spec": base,
        }

    @contextlib.contextmanager
    def endpoint(self, namespace: str, name: str, **spec: Any) -> Iterator[Endpoint]:
        """An endpoint that is Ready, for the `with` block; deleted afterwards."""
        self.cluster.apply(self.resource(namespace, name, **spec))
        endpoint = Endpoint(self.cluster, namespace, name)
        try:
            endpoint.until_ready()
            yield endpoint
        finally:
            endpoint.close()
            endpoint.delete("--ignore-not-found", "--wait=false")

    @contextlib.contextmanager
    def redis_url(self) -> Iterator[str]:
        """The URL of the development Redis for this process, as its administrator."""
        where = ("secret", "asyncendpoints-redis", "--namespace", SYSTEM_NAMESPACE)
        password = b64decode(self.cluster.get(*where)["data"]["password"]).decode()
        with self.cluster.service_url(SYSTEM_NAMESPACE, "asyncendpoints-redis", 6379) as url:
            yield f"redis://:{password}@{url.removeprefix('http://')}/0"

    def redis(self, *words: str) -> str:
        """Run a command on the development Redis, as its administrator."""
        script = 'REDISCLI_AUTH=$(cat /etc/redis-secret/password) exec redis-cli "$@"'
        return self.cluster.kubectl(
            *("exec", "--namespace", SYSTEM_NAMESPACE, REDIS_POD, "--"),
            *("sh", "-c", script, "sh", *words),
        ).strip()
