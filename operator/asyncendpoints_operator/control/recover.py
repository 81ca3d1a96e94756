"""Gives back at once the jobs of workers whose container ended, or whose pod is gone and silent."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_core.store.protocol import Cause
from asyncendpoints_core.store.recovery import release_all
from asyncendpoints_operator.control.container_exits import Release, ended_containers, releases
from asyncendpoints_operator.desired.naming import AGENT_CONTAINER, WORKER
from asyncendpoints_operator.status import events

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from asyncendpoints_operator.control.endpoint_state import Unit
    from asyncendpoints_operator.kube.cache import Cache
    from asyncendpoints_operator.status.reporter import Reporter

log = logging.getLogger("asyncendpoints.operator")

_SILENT: Final = 0.7
"""A worker with less of its lease left than this part is silent: it reports every half second.

With the default lease that is 4.5 s, so that the jobs of a pod deleted by force run again within
10 s of the start of its successor. One that lives after all is refused by its claims' numbers.
"""


class PodWatch:
    """Looks at pods, and at the workers of those that are gone."""

    def __init__(self, cache: Cache, reporter: Reporter) -> None:
        self._cache, self._reporter = cache, reporter

    async def look(self, unit: Unit) -> None:
        """Release the workers of every container of the endpoint's pods that ended.

        What is done once is not done again for the same state of a pod; what Redis did not take is
        tried at the next look. Raises StoreError.
        """
        pods = self._cache.pods(unit.key, WORKER)
        unit.pods_seen |= {pod["metadata"]["uid"] for pod in pods}
        ended = [pod for pod in pods if _state(pod) not in unit.ends_done and _has_end(pod)]
        if not ended or unit.link is None:
            return
        workers = await unit.link.store.workers()
        for pod in ended:
            await self._release(unit, pod["metadata"]["name"], releases(pod, workers))
            unit.ends_done.add(_state(pod))
        present = {_state(pod) for pod in pods}
        unit.ends_done &= present

    async def look_for_gone(self, unit: Unit) -> None:
        """Release workers whose pod is gone from the API and that have missed a sign of life.

        A pod deleted by force is gone at once, while its container may still run: one that does
        goes on saying so.
        """
        stats, link = unit.queue.stats, unit.link
        if stats is None or link is None or not unit.workers:
            return
        there = {pod["metadata"]["uid"] for pod in self._cache.pods(unit.key, WORKER)}
        soon = stats.now_ms + _SILENT * link.policy.lease_ms
        for worker in unit.workers:
            pod = worker.info.pod
            if pod in unit.pods_seen and pod not in there and worker.lease_ms < soon:
                why = "its pod is gone and it is silent"
                await self._release(unit, pod, [Release(worker.info.id, Cause.LOST, why)])
        unit.pods_seen &= there | {worker.info.pod for worker in unit.workers}

    async def _release(self, unit: Unit, pod: str, found: Iterable[Release]) -> None:
        assert unit.link is not None  # noqa: S101 - checked by the callers
        for release in found:
            done = await release_all(unit.link.store, release.worker, release.cause)
            log.info("%s: released %s of pod %s: %s", unit.key, release.worker, pod, release.why)
            told = events.of_release(pod, release.why, release.cause, done)
            self._reporter.publish(unit, told)
            unit.link.server.wake(unit.key)


def _has_end(pod: Mapping[str, Any]) -> bool:
    phase = (pod.get("status") or {}).get("phase")
    return phase in {"Failed", "Succeeded"} or any(e.worker for e in ended_containers(pod))


def _state(pod: Mapping[str, Any]) -> str:
    """Return what of a pod decides whether a container of it ended, as one text."""
    status = pod.get("status") or {}
    main: Mapping[str, Any] = next(
        (c for c in status.get("containerStatuses") or () if c["name"] == AGENT_CONTAINER), {}
    )
    state = main.get("state") or {}
    words = (
        pod["metadata"]["uid"],
        status.get("phase"),
        main.get("containerID"),
        main.get("restartCount"),
        ",".join(state),
        "deletionTimestamp" in pod["metadata"],
    )
    return " ".join(map(str, words))
