"""Writes the status when it changed, and publishes Events."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_core.resource import API_VERSION, KIND
from asyncendpoints_operator.desired.naming import FIELD_MANAGER
from asyncendpoints_operator.kube.client import Ref, Refused, Unreachable
from asyncendpoints_operator.status import events
from asyncendpoints_operator.status.build import (
    OLDEST_COUNTS_SECONDS,
    Budget,
    Status,
    build,
    counts_interval,
    decide_write,
    patch_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from asyncendpoints_operator.kube.cache import Cache
    from asyncendpoints_operator.kube.client import Cluster
    from asyncendpoints_operator.status.events import Event
    from asyncendpoints_operator.status.observed import Observed

log = logging.getLogger("asyncendpoints.operator")

RETRY_SECONDS: Final = 0.5
"""When to try again while another write of the same status is under way."""


class Reporter:
    """Writes the status and Events of every endpoint, within one budget.

    What it remembers of an endpoint is by UID: when its status was written, what of it the API
    server did not keep since an older CRD lacks the field, and the Events sent.
    """

    def __init__(
        self, cluster: Cluster, cache: Cache, identity: str, counts_seconds: float
    ) -> None:
        self._cluster, self._cache = cluster, cache
        self._identity = identity
        self._interval = counts_seconds
        self._budget = Budget()
        self._writing: set[str] = set()
        self._written_at: dict[str, float] = {}
        self._pruned: dict[str, Status] = {}
        self._sent: dict[str, events.SentEvents] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._unpublished = ""  # why the last Event was refused
        self.writes = 0

    def forget(self, uid: str) -> None:
        """Drop what was remembered of an endpoint."""
        self._written_at.pop(uid, None)
        self._pruned.pop(uid, None)
        self._sent.pop(uid, None)

    def _changing(self, now: float) -> int:
        """How many endpoints had their status written in the last seconds."""
        return sum(now - at < OLDEST_COUNTS_SECONDS for at in self._written_at.values())

    def _without_pruned(self, uid: str, before: Mapping[str, Any] | None, after: Status) -> Status:
        """Return `after` without what was not kept: it alone is no reason for a patch."""
        pruned, kept = self._pruned.get(uid, {}), before or {}
        return {k: v for k, v in after.items() if k in kept or k not in pruned or pruned[k] != v}

    async def report(self, resource: Mapping[str, Any], observed: Observed) -> float | None:
        """Write the status if it changed; returns when to try again (s), None for never."""
        meta, before = resource["metadata"], resource.get("status")
        uid = meta["uid"]
        if uid in self._writing:
            return RETRY_SECONDS  # with what is observed then
        after = build(observed, before, time.time())
        now = time.monotonic()
        write = decide_write(
            before,
            self._without_pruned(uid, before, after),
            now=now,
            last_write=self._written_at.get(uid),
            budget=self._budget,
            interval=counts_interval(self._changing(now), self._interval),
        )
        self._budget = write.budget
        if not write.now:
            return write.retry_in
        patch = {"metadata": {"uid": uid}, "status": patch_of(before, after)}
        ref = Ref(API_VERSION, KIND, meta["namespace"], meta["name"])
        self._writing.add(uid)
        try:
            made = await self._cluster.merge(ref, patch, subresource="status")
        except Refused as error:
            if error.outdated:
                return None  # it was deleted, or replaced by one of the same name
            raise
        finally:
            self._writing.discard(uid)
        self._cache.put(made)
        self.writes += 1
        self._written_at[uid] = now
        kept = made.get("status") or {}
        self._pruned[uid] = {key: value for key, value in after.items() if key not in kept}
        reported = before if (before or {}).get("conditions") else None  # not only its operator
        self.publish(f"{ref.namespace}/{ref.name}", uid, events.of_change(reported, after))
        return None

    def publish(self, key: str, uid: str, found: Iterable[Event]) -> None:
        """Publish Events about an endpoint, rate-limited by reason and without a retry."""
        admitted, self._sent[uid] = events.admit(self._sent.get(uid, {}), found, time.monotonic())
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
        except (Refused, Unreachable) as error:
            new = isinstance(error, Refused) and str(error) != self._unpublished
            level = logging.WARNING if new else logging.DEBUG
            log.log(level, "%s: event %s was not published: %s", key, event.reason, error)
            self._unpublished = str(error) if new else self._unpublished
