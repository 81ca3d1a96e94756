"""The one function that makes an endpoint real: resource → desired children → cluster → status."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from asyncendpoints_core.common.faults import format_path
from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.resource import AsyncEndpoint, cluster_faults
from asyncendpoints_operator.control.apply import OwnerGone, gateway_and_worker
from asyncendpoints_operator.desired.naming import GATEWAY, WORKER
from asyncendpoints_operator.desired.objects import desired, obsolete
from asyncendpoints_operator.desired.worker import live_of
from asyncendpoints_operator.kube.client import Refused
from asyncendpoints_operator.kube.pod_state import read_deployment, read_pod, refusing_version
from asyncendpoints_operator.status.observed import Queue, QueueReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncendpoints_operator.control.endpoint_state import Unit
    from asyncendpoints_operator.control.term import Term
    from asyncendpoints_operator.desired.naming import Manifest
    from asyncendpoints_operator.queues.redis_locations import Place

log = logging.getLogger("asyncendpoints.operator")

_CONFLICT_SECONDS: Final = 0.2
_STUCK_SECONDS: Final = 15.0
_REFUSED_SECONDS: Final = 30.0


class Reconciler:
    """Brings endpoints to what their resources say, one call an endpoint at a time."""

    def __init__(self, term: Term) -> None:
        self._term = term

    async def __call__(self, key: str) -> float | None:
        """Reconcile one endpoint; returns when to look again by itself (s), None: not."""
        term = self._term
        resource = term.cache.endpoint(key)
        if resource is None or not self._is_mine(resource):
            await term.forget(key)
            return None
        term.lease.check()
        unit = term.unit(key, resource["metadata"]["uid"])
        if "deletionTimestamp" in resource["metadata"]:
            return None  # its children go with it; the queue when it is gone
        read(unit, resource)
        if unit.endpoint is None:
            return await term.reporter.report(unit)
        held = await self._connect(unit, resource)
        try:
            await term.pods.look(unit)
        except StoreError as error:
            log.debug("%s: ended containers are looked at later: %s", key, error)
        try:
            if not held:
                await self._children(unit, unit.endpoint)
        except OwnerGone:
            log.info("%s: is gone, nothing is made for it", key)
            return None
        except Refused as error:
            if error.conflict:
                return await self._again(unit)
            raise
        again = await term.reporter.report(unit)
        if unit.refusals:  # what stands in the way may be no child of ours, and says nothing
            again = min(again or _REFUSED_SECONDS, _REFUSED_SECONDS)
        waiting = self._not_started(unit)
        if not waiting:
            return again
        # A pod does not say that a Secret it mounts was deleted: see that ours is there.
        if time.time() - min(waiting) > _STUCK_SECONDS:
            unit.secret = ""
        return min(again or _STUCK_SECONDS, _STUCK_SECONDS)

    def _not_started(self, unit: Unit) -> list[float]:
        """Return when the pods were made that have a node and are not started (s since 1970)."""
        pods = [*self._pods(unit, GATEWAY), *self._pods(unit, WORKER)]
        return [
            pod.created
            for pod in map(read_pod, pods)
            if pod.phase == "Pending" and pod.scheduled and not pod.deleting and not pod.issue
        ]

    def _pods(self, unit: Unit, component: str) -> list[Manifest]:
        return self._term.cache.pods(unit.key, component)

    def _is_mine(self, resource: Mapping[str, Any]) -> bool:
        return (resource.get("spec") or {}).get("className") == self._term.settings.class_name

    async def _again(self, unit: Unit) -> float:
        """Somebody wrote in between: read both Deployments, and do it all again."""
        if unit.endpoint is not None:
            await self._term.refresh_deployments(unit.endpoint)
        return _CONFLICT_SECONDS

    async def _connect(self, unit: Unit, resource: Mapping[str, Any]) -> bool:
        """Link the endpoint to its Redis; True when everything is held because that has moved."""
        term, endpoint = self._term, unit.endpoint
        assert endpoint is not None  # noqa: S101 - checked by the caller
        refused = unit.queue.reason is QueueReason.AUTHENTICATION
        place = await term.places.find(endpoint, fresh=refused)
        moved = not isinstance(place, Queue) and _has_moved(endpoint, resource, place)
        if isinstance(place, Queue) or moved:
            if unit.link is not None:  # or its next reading would say that all is well
                await term.queues.unlink(unit.link)
                unit.link = None
            unit.queue = place if isinstance(place, Queue) else _moved(resource, place)
            return moved
        unit.link = await term.queues.link(endpoint, place, unit.link)
        if place.own:
            await term.tenants.ensure(unit, unit.link)
        return False

    async def _children(self, unit: Unit, endpoint: AsyncEndpoint) -> None:
        term = self._term
        async with unit.deploying:
            gateway, worker = gateway_and_worker(term.cache, endpoint)
            replicas = read_deployment(worker).wanted if worker else first_replicas(unit, endpoint)
            workers = self._pods(unit, WORKER)
            refused = bool(refusing_version(map(read_pod, workers)))
            live = live_of(worker, replicas, refused=refused)
            wanted = desired(endpoint, term.platform, live)
            unit.refusals = await term.children.apply(unit, wanted)
            pods = [*self._pods(unit, GATEWAY), *workers]
            rolling = any(read_deployment(each).rolling for each in (gateway, worker))
            existing = term.cache.children(unit.key)
            gone = obsolete(endpoint, existing, wanted, pods, rolling=rolling)
            await term.children.remove(unit, gone)


def read(unit: Unit, resource: Mapping[str, Any]) -> None:
    """Read the resource into the unit, or say which rules it breaks.

    The API server checks the same by the CRD, but not all of it, nor what was stored before.
    """
    generation = resource["metadata"].get("generation", 0)
    if unit.generation == generation and (unit.endpoint is not None or unit.faults):
        return
    unit.generation = generation
    try:
        endpoint = AsyncEndpoint.parse(resource)
    except ValidationError as error:
        unit.endpoint = None
        unit.faults = tuple(
            f"{format_path(fault['loc'])}: {fault['msg']}" for fault in error.errors()[:5]
        )
        return
    faults = cluster_faults(endpoint)
    unit.endpoint = None if faults else endpoint
    unit.faults = tuple(fault.render() for fault in faults)


def first_replicas(unit: Unit, endpoint: AsyncEndpoint) -> int:
    """Return with how many workers a Deployment is made, or made again after it was deleted."""
    if endpoint.spec.suspend:
        return 0
    if endpoint.spec.replicas is not None:
        return endpoint.spec.replicas
    if unit.decision is not None:
        return unit.decision.replicas
    return endpoint.spec.autoscaling.min_replicas


def _has_moved(endpoint: AsyncEndpoint, resource: Mapping[str, Any], place: Place) -> bool:
    """Return whether the jobs are on another Redis than the resource names (docs/rules.md K24)."""
    before = (resource.get("status") or {}).get("queue")
    return before not in (None, "", place.identity, endpoint.spec.redis.leave_queue)


def _moved(resource: Mapping[str, Any], place: Place) -> Queue:
    before = str(resource["status"]["queue"])
    text = (
        f"the jobs are on {before}, spec.redis names {place.identity}: nothing is changed until "
        f"spec.redis.leaveQueue says {before}"
    )
    return Queue(QueueReason.MOVED, text, identity=before)
