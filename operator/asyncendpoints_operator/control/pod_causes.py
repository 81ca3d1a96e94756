"""Finds out why pods are late: reads their Events, and asks the pod itself."""

import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import ClientError, ClientSession, ClientTimeout

from asyncendpoints_core.resource.containers import ADMIN_PORT
from asyncendpoints_operator.desired.naming import GATEWAY, WORKER
from asyncendpoints_operator.kube.cache import Cache
from asyncendpoints_operator.kube.client import Cluster, Refused, Unreachable
from asyncendpoints_operator.kube.late_pods import (
    PATIENCE_SECONDS,
    answers_readyz,
    crashing_until,
    explain,
    unready_since,
)
from asyncendpoints_operator.kube.pod_state import Issue

log = logging.getLogger("asyncendpoints.operator")

AGAIN_SECONDS: Final = 10.0
_READYZ_SECONDS: Final = 2.0
_READYZ_CHARS: Final = 500

Causes = Mapping[tuple[str, str], Issue]
"""Why the newest late pod is not ready, by the endpoint's key and the component."""


class PodCauses:
    """Looks at the newest late pod of each component; `found` is what StatusReport shows."""

    def __init__(self, cluster: Cluster, cache: Cache) -> None:
        self._cluster, self._cache = cluster, cache
        self.found: dict[tuple[str, str], Issue] = {}

    def forget(self, key: str) -> None:
        """Drop what was found about an endpoint's pods."""
        for component in (GATEWAY, WORKER):
            self.found.pop((key, component), None)

    async def look(self, key: str) -> float | None:
        """Look at an endpoint's pods; returns when to look again (s), None for never."""
        delays = [await self._look(key, component) for component in (GATEWAY, WORKER)]
        return min((delay for delay in delays if delay is not None), default=None)

    async def _look(self, key: str, component: str) -> float | None:
        now, pods = time.time(), self._cache.pods(key, component)
        unready = [(since, pod) for pod in pods if (since := unready_since(pod)) is not None]
        late = [(since, pod) for since, pod in unready if now - since >= PATIENCE_SECONDS]
        if late:
            _, pod = max(late, key=lambda found: (found[0], found[1]["metadata"]["name"]))
            self.found[key, component] = await self._explain(pod)
            return AGAIN_SECONDS
        self.found.pop((key, component), None)
        times = [since + PATIENCE_SECONDS for since, _ in unready]
        times += [until for pod in pods if (until := crashing_until(pod)) and until > now]
        return min((at - now for at in times), default=None)

    async def _explain(self, pod: Mapping[str, Any]) -> Issue:
        readyz = await _readyz(pod) if answers_readyz(pod) else ""
        events = []
        try:
            if not readyz:
                meta = pod["metadata"]
                of_pod = f"involvedObject.uid={meta['uid']}"
                found = self._cluster.list("v1", "Event", meta["namespace"], fields=of_pod)
                events = [event async for event in found]
        except (Refused, Unreachable) as error:
            log.debug("the Events of pod %s cannot be read: %s", pod["metadata"]["name"], error)
        return explain(pod, events, readyz)


async def _readyz(pod: Mapping[str, Any]) -> str:
    """Return why the pod says that it is not ready, "" if it does not answer."""
    address = (pod.get("status") or {}).get("podIP", "")
    host = f"[{address}]" if ":" in address else address
    timeout = ClientTimeout(total=_READYZ_SECONDS)
    try:
        async with (
            ClientSession(timeout=timeout) as session,
            session.get(f"http://{host}:{ADMIN_PORT}/readyz") as answer,
        ):
            text = (await answer.content.read(_READYZ_CHARS)).decode(errors="replace").strip()
            return "" if answer.status == 200 else text
    except (ClientError, OSError, TimeoutError, ValueError):
        return ""
