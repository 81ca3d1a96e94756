"""Releases the jobs of workers whose container ended, or whose pod is gone and silent, at once."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.store.recovery import release_all
from asyncendpoints_core.store.replies import Cause
from asyncendpoints_operator.control.container_exits import (
    Release,
    container_exits,
    how_died,
    releases,
)
from asyncendpoints_operator.desired.naming import WORKER
from asyncendpoints_operator.kube.cache import Cache
from asyncendpoints_operator.kube.pod_state import agent_status, has_ended
from asyncendpoints_operator.queues.queue_connection import QueueConnection
from asyncendpoints_operator.status import events
from asyncendpoints_operator.status.event_publisher import EventPublisher

log = logging.getLogger("asyncendpoints.operator")

_SILENT: Final = 0.7
"""A worker with less of its lease left than this part is silent: it reports every half second.

With the default lease that is after 4.5 s, so that the jobs of a pod deleted by force run again
within 10 s of the start of its successor. A worker that lives after all is fenced by its claims.
"""


@dataclass(frozen=True, slots=True)
class _History:
    """`seen`: UIDs of pods that existed. `handled`: states of pods whose workers were released."""

    seen: frozenset[str] = frozenset()
    handled: frozenset[str] = frozenset()


class PodRecovery:
    """Compares the endpoints' pods with the workers that Redis knows."""

    def __init__(self, cache: Cache, publisher: EventPublisher) -> None:
        self._cache, self._publisher = cache, publisher
        self._history: dict[str, _History] = {}  # by the endpoint's UID

    def forget(self, uid: str) -> None:
        """Drop what was remembered of an endpoint's pods."""
        self._history.pop(uid, None)

    async def release_ended(self, connection: QueueConnection) -> None:
        """Release the workers of every container of the endpoint's pods that ended.

        Each state of a pod is handled once; what Redis did not accept is tried again with the next
        call.
        """
        uid, pods = connection.identity.uid, self._cache.pods(connection.key, WORKER)
        history = self._history.get(uid, _History())
        seen = history.seen | {pod["metadata"]["uid"] for pod in pods}
        handled = history.handled & {_state(pod) for pod in pods}
        self._history[uid] = _History(seen, handled)
        ended = [pod for pod in pods if _state(pod) not in handled and _has_exit(pod)]
        if not ended:
            return
        try:
            workers = await connection.store.workers()
            for pod in ended:
                await self._release(connection, pod["metadata"]["name"], releases(pod, workers))
                handled |= {_state(pod)}
                self._history[uid] = _History(seen, handled)
        except StoreError as error:
            log.debug("%s: ended containers are handled later: %s", connection.key, error)

    async def release_gone(self, connection: QueueConnection) -> None:
        """Release workers whose pod no longer exists and that are silent. Raises StoreError.

        A pod deleted by force is gone at once, while its container may still run: then its worker
        goes on reporting.
        """
        stats, workers = connection.reading.queue.stats, connection.reading.workers
        if stats is None or not workers:
            return
        uid = connection.identity.uid
        history = self._history.get(uid, _History())
        present = {pod["metadata"]["uid"] for pod in self._cache.pods(connection.key, WORKER)}
        silent_before = stats.now_ms + _SILENT * connection.policy.lease_ms
        for worker in workers:
            pod = worker.info.pod
            if pod in history.seen and pod not in present and worker.lease_ms < silent_before:
                why = "its pod is gone and its heartbeats have stopped"
                await self._release(connection, pod, [Release(worker.info.id, Cause.LOST, why)])
        history = self._history.get(uid, _History())
        seen = history.seen & (present | {worker.info.pod for worker in workers})
        self._history[uid] = _History(seen, history.handled)

    async def _release(
        self, connection: QueueConnection, pod: str, found: Iterable[Release]
    ) -> None:
        key = connection.key
        for release in found:
            done = await release_all(
                connection.store, release.worker, release.cause, how_died(release)
            )
            log.info("%s: released %s of pod %s: %s", key, release.worker, pod, release.why)
            published = events.of_release(pod, release.why, release.cause, done)
            self._publisher.publish(key, connection.identity.uid, published)
            connection.wake()


def _has_exit(pod: Mapping[str, Any]) -> bool:
    return has_ended(pod) or any(e.is_worker for e in container_exits(pod))


def _state(pod: Mapping[str, Any]) -> str:
    """Return what decides whether a container of a pod ended, as one text."""
    main = agent_status(pod)
    parts = (
        pod["metadata"]["uid"],
        (pod.get("status") or {}).get("phase"),
        main.get("containerID"),
        main.get("restartCount"),
        ",".join(main.get("state") or {}),
        "deletionTimestamp" in pod["metadata"],
    )
    return " ".join(map(str, parts))
