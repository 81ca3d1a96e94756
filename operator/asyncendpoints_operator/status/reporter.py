"""Writes the status when it changed, and publishes Events."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from asyncendpoints_core.resource import API_VERSION, KIND
from asyncendpoints_operator.control.apply import gateway_and_worker
from asyncendpoints_operator.desired.naming import FIELD_MANAGER, GATEWAY, WORKER, selector_text
from asyncendpoints_operator.desired.network import url_of
from asyncendpoints_operator.kube.client import Ref, Refused, Unreachable
from asyncendpoints_operator.kube.pod_state import (
    issue_of,
    read_deployment,
    read_pod,
    refusing_version,
)
from asyncendpoints_operator.status import events
from asyncendpoints_operator.status.build import Budget, build, decide_write, patch_of
from asyncendpoints_operator.status.observed import Observed, QueueReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from asyncendpoints_operator.control.endpoint_state import Unit
    from asyncendpoints_operator.kube.cache import Cache
    from asyncendpoints_operator.kube.client import Cluster
    from asyncendpoints_operator.status.events import Event

log = logging.getLogger("asyncendpoints.operator")


class Reporter:
    """Writes the status and Events of every endpoint, within one budget."""

    def __init__(
        self, cluster: Cluster, cache: Cache, identity: str, counts_seconds: float
    ) -> None:
        self._cluster, self._cache = cluster, cache
        self._identity = identity
        self._interval = counts_seconds
        self._budget = Budget()
        self._sending: set[asyncio.Task[None]] = set()
        self.writes = 0

    async def report(self, unit: Unit) -> float | None:
        """Write the status if it changed; return when to try again (s), None for never."""
        async with unit.reporting:
            resource = self._cache.endpoint(unit.key)
            if resource is None or resource["metadata"]["uid"] != unit.uid:
                return None
            before = resource.get("status")
            if before and unit.link is not None and unit.queue.reason is QueueReason.NOT_READ:
                return None  # a new leader has not read it yet: keep its predecessor's status
            after = build(self._observe(unit, resource), before, time.time())
            now = time.monotonic()
            write = decide_write(
                before,
                after,
                now=now,
                last_write=unit.written_at,
                budget=self._budget,
                interval=self._interval,
            )
            self._budget = write.budget
            if not write.now:
                return write.retry_in
            namespace, _, name = unit.key.partition("/")
            patch = {"metadata": {"uid": unit.uid}, "status": patch_of(before, after)}
            ref = Ref(API_VERSION, KIND, namespace, name)
            try:
                made = await self._cluster.merge(ref, patch, subresource="status")
            except Refused as error:
                if error.missing or error.conflict:
                    return None  # it was deleted, or replaced by one of the same name
                raise
            self._cache.put(made)
            self.writes += 1
            unit.written_at = now
            self.publish(unit, events.of_change(before, after))
            return None

    def _observe(self, unit: Unit, resource: Mapping[str, Any]) -> Observed:
        endpoint = unit.endpoint
        observed = Observed(
            generation=resource["metadata"].get("generation", 0),
            endpoint=endpoint,
            faults=unit.faults,
            refusals=unit.refusals,
            queue=unit.queue,
            scaling=unit.scaling,
            pinned_by=pinned_by(resource),
            failures=unit.failures,
        )
        if endpoint is None:
            return observed
        gateway, worker = (read_deployment(d) for d in gateway_and_worker(self._cache, endpoint))
        pods = {
            component: [read_pod(pod) for pod in self._cache.pods(unit.key, component)]
            for component in (GATEWAY, WORKER)
        }
        service = self._cache.get("Service", endpoint.metadata.namespace, endpoint.name)
        return replace(
            observed,
            gateway=gateway,
            gateway_issue=issue_of(gateway, pods[GATEWAY]),
            worker=worker,
            worker_issue=issue_of(worker, pods[WORKER]),
            unsupported=refusing_version(pods[WORKER]),
            url=url_of(endpoint, _load_balancer(service)),
            selector=selector_text(endpoint),
        )

    def publish(self, unit: Unit, found: Iterable[Event]) -> None:
        """Publish Events about an endpoint, rate-limited by reason and without a retry."""
        admitted, unit.told = events.admit(unit.told, found, time.monotonic())
        for event in admitted:
            task = asyncio.create_task(self._send(unit.key, unit.uid, event))
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
        except (Refused, Unreachable) as error:
            log.debug("%s: event %s was not published: %s", key, event.reason, error)


def _load_balancer(service: Mapping[str, Any] | None) -> str:
    """Return the address of a Service of type LoadBalancer, "" if it has none yet."""
    status = ((service or {}).get("status") or {}).get("loadBalancer") or {}
    for entry in status.get("ingress") or ():
        return str(entry.get("hostname") or entry.get("ip") or "")
    return ""


def pinned_by(resource: Mapping[str, Any]) -> str:
    """Return the field manager that wrote spec.replicas last, "" if it is not set.

    The API server records no manager for writes through a custom resource's /scale.
    """
    if (resource.get("spec") or {}).get("replicas") is None:
        return ""
    owners = [
        (entry.get("time", ""), entry.get("manager", ""))
        for entry in resource["metadata"].get("managedFields") or ()
        if "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    ]
    return str(max(owners)[1]) if owners else "/scale (kubectl scale, or an HPA)"
