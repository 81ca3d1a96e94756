"""Removes the pods of workers that have drained while their sidecars still run.

The kubelet grants native sidecars the rest of the pod's grace period, which for a worker is as
long as its jobs may take. A process that ignores SIGTERM, as PID 1 does without a handler, would
keep the pod for all of it, and a shorter period has no effect while the kubelet waits. It reports
no container of a terminating pod before the last one has ended either, so the store shows that a
worker has drained: it is no longer registered there.
"""

import logging
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from asyncendpoints_operator.control.failures import Failures, Step
from asyncendpoints_operator.desired.naming import WORKER
from asyncendpoints_operator.kube.cache import Cache
from asyncendpoints_operator.kube.client import Cluster, Ref, Refused
from asyncendpoints_operator.status.observed import RefusalReason

log = logging.getLogger("asyncendpoints.operator")

SIDECAR_SECONDS: Final = 10.0
"""What sidecars get after the worker has left the store, right before it exits."""

_END: Final = "end"


class DrainedPods:
    """Deletes such pods at once. What the API server refuses is recorded in `failures`, and the
    other pods are deleted.
    """

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        failures: Failures,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster, self._cache, self._clock, self._failures = cluster, cache, clock, failures
        self._absent: dict[str, dict[str, float]] = {}  # by the endpoints' UIDs, then the pods'

    def forget(self, uid: str) -> None:
        """Drop what was remembered of an endpoint's pods."""
        self._absent.pop(uid, None)

    async def end(self, key: str, uid: str, registered: Collection[str]) -> None:
        """Remove the drained pods of an endpoint with that UID.

        `registered` are the UIDs of the pods whose workers the store has, as just read. Raises
        Unreachable.
        """
        now, before, absent = self._clock(), self._absent.get(uid, {}), {}
        due = []
        for pod in self._cache.pods(key, WORKER):
            meta = pod["metadata"]
            if meta["uid"] in registered or not _may_linger(pod):
                continue
            since = absent[meta["uid"]] = before.get(meta["uid"], now)
            if now - since < SIDECAR_SECONDS:
                continue
            due.append(meta)
        self._absent[uid] = absent
        self._failures.keep(key, uid, _END, [_step(meta) for meta in due])
        for meta in due:
            if self._failures.due(uid, _step(meta)):
                await self._delete(key, uid, meta)

    async def _delete(self, key: str, uid: str, meta: Mapping[str, Any]) -> None:
        ref, name = Ref("v1", "Pod", meta["namespace"], meta["name"]), meta["name"]
        try:
            await self._cluster.delete(ref, uid=meta["uid"], grace_seconds=0)
        except Refused as error:
            self._failures.record(key, uid, _step(meta), RefusalReason.SCALING, str(error))
            return
        self._failures.clear(key, uid, _step(meta))
        log.info("%s: pod %s has drained; its sidecars do not end", key, name)


def _step(meta: Mapping[str, Any]) -> Step:
    return Step(_END, "Pod", meta["name"])


def _may_linger(pod: Mapping[str, Any]) -> bool:
    """Whether a pod with sidecars is terminating."""
    return "deletionTimestamp" in pod["metadata"] and "initContainers" in pod["spec"]
