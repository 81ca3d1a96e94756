"""The system on a real cluster: an endpoint with the handlers of the soak, and their records.

Handlers and workers write their records to a volume, so not to the Redis that the faults hit.
"""

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any, Self

from asyncendpoints_core.jobs.states import FINAL, State
from asyncendpoints_core.store.redis import RedisStore
from faults.system import ROUTES, stored
from support.history.checker import Final
from support.kube.installed import Endpoint, Installed
from support.lifetime import Lifetime

HERE = Path(__file__).parent
NAME = "chaos"
VOLUME = "/records"
READER = "reader"


def image(installed: Installed) -> str:
    """Build and load an image with the handlers, which write their records to the volume."""
    args = {"BASE": installed.images["worker"]}
    return installed.cluster.publish_image(
        HERE / "jobs" / "Dockerfile", "localhost/chaos-jobs", build_args=args
    )


class ClusterSystem(Lifetime):
    """One endpoint in a namespace of its own. `urls` are those of its Service at present."""

    def __init__(self, installed: Installed, namespace: str, folder: Path) -> None:
        self.installed, self.cluster = installed, installed.cluster
        self.namespace, self.folder = namespace, folder
        self.endpoint = Endpoint(installed.cluster, namespace, NAME)
        self.urls: list[str] = []
        self._open = contextlib.ExitStack()

    def start(self) -> Self:
        """Apply everything and wait until it is ready."""
        worker = image(self.installed)
        self.cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": "records", "namespace": self.namespace},
                "spec": {
                    "accessModes": ["ReadWriteMany"],
                    "resources": {"requests": {"storage": "1Gi"}},
                },
            },
            self._reader(worker),
            self._resource(worker),
        )
        self.cluster.wait(self.namespace, f"pod/{READER}", "condition=Ready")
        self.endpoint.until_ready()
        self.find()
        return self

    def find(self) -> None:
        """Look up the address of the endpoint's Service, which is another after its deletion."""
        self._open.close()
        url = self._open.enter_context(self.cluster.service_url(self.namespace, NAME, 80))
        self.urls[:] = [url]

    def close(self) -> None:
        """Close the connection to the Service."""
        self._open.close()
        self.endpoint.close()

    def whole(self) -> None:
        """Wait until a fault is over: a gateway answers and the resource is Ready."""
        self.endpoint.until_ready(seconds=180)

    def records(self) -> tuple[Path, Path]:
        """Fetch the workers' histories and the handlers' runs; return their folder and file."""
        history, runs = self.folder / "history", self.folder / "runs"
        history.mkdir(parents=True, exist_ok=True)
        for file, pattern in ((history / "workers.jsonl", "*.jsonl"), (runs, "runs")):
            where = ("exec", READER, "--", "sh", "-c", f"cat {VOLUME}/{pattern}")
            file.write_text(self.endpoint.kubectl(*where, timeout=300))
        return history, runs

    async def final(self, seconds: float) -> tuple[Final, set[str]]:
        """Wait until every job is final and nothing is held; return what is stored, and the
        workers that are registered.
        """
        with self.installed.redis_url() as url:
            store = RedisStore(url, f"{self.namespace}/{NAME}")
            try:
                await store.open()
                await self._all_final(store, seconds)
                workers = {one.info.id for one in await store.workers()}
                return await stored(store), workers
            finally:
                await store.close()

    async def _all_final(self, store: RedisStore, seconds: float) -> None:
        end = time.monotonic() + seconds
        while True:
            stats = await store.stats()
            unfinished = [state for state in State if state not in FINAL and stats.counts[state]]
            if not stats.held and not unfinished:
                return
            if time.monotonic() > end:
                raise AssertionError(
                    f"jobs never became final: {stats}\n{self.endpoint.diagnose()}"
                )
            await asyncio.sleep(0.5)

    def _resource(self, worker: str) -> dict[str, Any]:
        return self.installed.resource(
            self.namespace,
            NAME,
            routes=[{"path": f"/{name}", "job": name} for name in ROUTES],
            gateway={"replicas": 2},
            worker={
                "image": worker,
                "handlers": "fault_jobs",
                "concurrency": 4,
                "processes": 2,
                "volumes": [{"name": "records", "persistentVolumeClaim": {"claimName": "records"}}],
                "volumeMounts": [{"name": "records", "mountPath": VOLUME}],
            },
            autoscaling={"minReplicas": 1, "maxReplicas": 3, "targetWaitSeconds": 1},
            retry={"maxRetries": 6, "initialSeconds": 0.1, "maxSeconds": 2, "maxCrashes": 2},
            timeouts={"executionSeconds": 10, "leaseSeconds": 10, "drainSeconds": 5},
        )

    def _reader(self, worker: str) -> dict[str, Any]:
        """A pod that reads the volume, whatever becomes of the others."""
        user = {"runAsNonRoot": True, "runAsUser": 65532, "fsGroup": 65532}
        seccomp = {"seccompProfile": {"type": "RuntimeDefault"}}
        container = {
            "name": READER,
            "image": worker,
            "imagePullPolicy": "IfNotPresent",
            "command": ["sleep", "infinity"],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [{"name": "records", "mountPath": VOLUME}],
        }
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": READER, "namespace": self.namespace},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "securityContext": {**user, **seccomp},
                "containers": [container],
                "volumes": [{"name": "records", "persistentVolumeClaim": {"claimName": "records"}}],
            },
        }
