"""Publishes Kubernetes Events about endpoints."""

import asyncio
import logging
import time
from collections.abc import Iterable
from datetime import UTC, datetime

from asyncendpoints_core.resource import API_VERSION, KIND
from asyncendpoints_operator.desired.naming import FIELD_MANAGER
from asyncendpoints_operator.kube.client import Cluster, Refused, Unreachable
from asyncendpoints_operator.kube.election import NotLeader
from asyncendpoints_operator.status.events import Event, SentEvents, admit

log = logging.getLogger("asyncendpoints.operator")


class EventPublisher:
    """Publishes Events in the name of `identity`, rate-limited by endpoint and reason."""

    def __init__(self, cluster: Cluster, identity: str) -> None:
        self._cluster, self._identity = cluster, identity
        self._sent: dict[str, SentEvents] = {}  # by the endpoint's UID
        self._sending: set[asyncio.Task[None]] = set()
        self._unpublished = ""  # why the last Event was refused

    def forget(self, uid: str) -> None:
        """Drop what was remembered of an endpoint."""
        self._sent.pop(uid, None)

    def publish(self, key: str, uid: str, found: Iterable[Event]) -> None:
        """Publish Events about an endpoint, rate-limited by reason and without a retry."""
        admitted, self._sent[uid] = admit(self._sent.get(uid, {}), found, time.monotonic())
        for event in admitted:
            task = asyncio.create_task(self._send(key, uid, event))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(self, key: str, uid: str, event: Event) -> None:
        namespace, _, name = key.partition("/")
        now = datetime.now(UTC)
        seconds = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        manifest = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{name}.{time.time_ns():x}", "namespace": namespace},
            "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "firstTimestamp": seconds,
            "lastTimestamp": seconds,
            "count": 1,
            "reportingComponent": FIELD_MANAGER,
            "reportingInstance": self._identity,
            "source": {"component": FIELD_MANAGER},
            "type": event.type,
            "reason": event.reason,
            "action": event.action,
            "message": event.message,
            "involvedObject": {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "namespace": namespace,
                "name": name,
                "uid": uid,
            },
        }
        log.info("%s: %s: %s", key, event.reason, event.message)
        try:
            await self._cluster.create(manifest)
            self._unpublished = ""
        except (NotLeader, Refused, Unreachable) as error:
            new = isinstance(error, Refused) and str(error) != self._unpublished
            level = logging.WARNING if new else logging.DEBUG
            log.log(level, "%s: event %s was not published: %s", key, event.reason, error)
            self._unpublished = str(error) if new else self._unpublished
