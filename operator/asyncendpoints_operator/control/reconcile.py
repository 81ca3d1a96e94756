"""Makes an endpoint real: resource → desired children → cluster → status."""

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from pydantic import ValidationError

from asyncendpoints_core.common.faults import format_path
from asyncendpoints_core.resource import KIND, AsyncEndpoint, cluster_faults
from asyncendpoints_core.scaling.decide import Decision
from asyncendpoints_operator.control.apply import Children, OwnerGone
from asyncendpoints_operator.control.console_secrets import ConsoleSecrets, secrets_before
from asyncendpoints_operator.control.endpoint_state import Reconciled, Resource, WorkState
from asyncendpoints_operator.control.failures import Failures, Step
from asyncendpoints_operator.control.pod_causes import PodCauses
from asyncendpoints_operator.control.recover import PodRecovery
from asyncendpoints_operator.control.redis_users import RedisUsers
from asyncendpoints_operator.control.served_by import ServedBy
from asyncendpoints_operator.control.status_report import StatusReport, deployments, is_terminating
from asyncendpoints_operator.desired.naming import (
    GATEWAY,
    WORKER,
    Manifest,
    Platform,
    child_name,
)
from asyncendpoints_operator.desired.objects import desired, identity, obsolete
from asyncendpoints_operator.desired.worker import live_of
from asyncendpoints_operator.kube.cache import Cache
from asyncendpoints_operator.kube.client import Refused, Unreachable
from asyncendpoints_operator.kube.election import Leadership, NotLeader
from asyncendpoints_operator.kube.pod_state import read_deployment, read_pod, refusing_version
from asyncendpoints_operator.queues.redis_locations import RedisLocation, RedisLocations
from asyncendpoints_operator.queues.registry import Queues
from asyncendpoints_operator.status.observed import Queue, QueueReason, RefusalReason

log = logging.getLogger("asyncendpoints.operator")

_STUCK_SECONDS: Final = 15.0
_MAX_FAULTS: Final = 5


class Reconciler:
    """Reconciles endpoints, one call an endpoint at a time; writes what came of it into
    `reconciled`. `work` has the scaling decisions. `forget` drops all that is known of an endpoint
    which is gone, or which this operator does not serve any more; `gone` is called when it is gone
    or of another class.
    """

    def __init__(
        self,
        cache: Cache,
        platform: Platform,
        lease: Leadership,
        *,
        served_by: ServedBy,
        children: Children,
        locations: RedisLocations,
        queues: Queues,
        users: RedisUsers,
        console: ConsoleSecrets,
        recovery: PodRecovery,
        causes: PodCauses,
        status: StatusReport,
        failures: Failures,
        reconciled: dict[str, Reconciled],
        work: Mapping[str, WorkState],
        forget: Callable[[Reconciled], Awaitable[None]],
        gone: Callable[[], None],
    ) -> None:
        self._cache, self._platform, self._lease = cache, platform, lease
        self._served_by, self._forget, self._gone = served_by, forget, gone
        self._children, self._locations, self._queues = children, locations, queues
        self._users, self._recovery, self._status = users, recovery, status
        self._console = console
        self._failures, self._causes = failures, causes
        self._reconciled, self._work = reconciled, work

    async def reconcile(self, key: str) -> float | None:
        """Reconcile one endpoint; returns when to do so again (s), None for only after a change.

        Raises StoreError, Refused and Unreachable: it is then tried again with a backoff.
        """
        manifest = await self._served_by.serve(key)
        uid = manifest["metadata"]["uid"] if isinstance(manifest, dict) else ""
        known = self._reconciled.get(key)
        if known is not None and known.resource.uid != uid:
            await self._forget(known)
        if manifest is None:
            self._gone()
        if not isinstance(manifest, dict):
            return manifest
        self._lease.check()
        step = Step("reconcile", KIND, manifest["metadata"]["name"])
        try:
            again = await self._carry_out(key, manifest)
        except (NotLeader, Unreachable):
            raise
        except Exception as error:
            text = str(error) or type(error).__name__
            self._failures.record(key, uid, step, RefusalReason.FAILED, text)
            await self._status.report(key)
            raise
        failed = self._failures.last(uid, step) is not None
        self._failures.clear(key, uid, step)
        if failed:
            await self._status.report(key)
        return again

    async def _carry_out(self, key: str, manifest: Manifest) -> float | None:
        """Carry out the steps in order."""
        state = self._read(key, manifest)
        endpoint = state.resource.endpoint
        if endpoint is None:
            if state.connection is not None:
                state.connection.set_closing(is_terminating(manifest))
            return await self._complete(state)
        state = await self._connect(state, endpoint, manifest)
        if state.connection is not None:
            await self._recovery.release_ended(state.connection)
        if state.queue.reason is QueueReason.MOVED:
            return await self._complete(state)
        if is_terminating(manifest):  # the API server deletes its children with it
            return await self._complete(state)
        gateway, _ = deployments(self._cache, key)
        await self._console.ensure(endpoint, secrets_before(manifest, gateway))
        try:
            await self._apply(state, endpoint)
        except OwnerGone:
            log.info("%s: was deleted; nothing is made for it", key)
            return None
        uid = state.resource.uid
        retry = self._failures.retry_seconds(uid)
        if retry is not None and not self._failures.shown(uid):
            return retry  # too early to report this generation as reconciled, or as refused
        again = await self._complete(state)
        return self._next_look(state.resource, again)

    def _read(self, key: str, manifest: Manifest) -> Reconciled:
        """Parse the resource, unless this generation of it was parsed before."""
        known = self._reconciled.get(key)
        generation = manifest["metadata"].get("generation", 0)
        if known is not None and known.resource.generation == generation:
            return known
        resource = parse(key, manifest)
        state = Reconciled(resource) if known is None else replace(known, resource=resource)
        self._reconciled[key] = state
        return state

    async def _connect(
        self, state: Reconciled, endpoint: AsyncEndpoint, manifest: Manifest
    ) -> Reconciled:
        """Connect the endpoint to its Redis, with a user of its own on the operator's."""
        refused = state.queue.reason is QueueReason.AUTHENTICATION
        location = await self._locate(endpoint, fresh=refused)
        if not isinstance(location, Queue) and _has_moved(endpoint, manifest, location):
            location = _moved(manifest, location)
        if isinstance(location, Queue):
            await self._queues.disconnect(endpoint.key)
            state = replace(state, connection=None, unconnected=location)
            self._reconciled[endpoint.key] = state
            return state
        connection = await self._queues.connect(endpoint, location)
        state = replace(state, connection=connection)
        self._reconciled[endpoint.key] = state
        connection.set_closing(is_terminating(manifest))
        await self._users.ensure(connection)
        return state

    async def _locate(self, endpoint: AsyncEndpoint, *, fresh: bool) -> RedisLocation | Queue:
        """Find the endpoint's Redis; the one known before while its Secret cannot be read."""
        ref, uid = endpoint.spec.redis.secret_ref, endpoint.metadata.uid
        step = Step("read", "Secret", ref.name if ref else "")
        self._failures.keep(endpoint.key, uid, "read", [step])
        try:
            location = await self._locations.find(endpoint, fresh=fresh)
        except Refused as error:
            self._failures.record(endpoint.key, uid, step, RefusalReason.SECRET, str(error))
            text = f"Secret {step.name} cannot be read: {error}"
            unknown = Queue(QueueReason.SECRET_NOT_READABLE, text)
            return self._locations.known(endpoint) or unknown
        self._failures.clear(endpoint.key, uid, step)
        return location

    async def _apply(self, state: Reconciled, endpoint: AsyncEndpoint) -> None:
        """Apply the desired children and delete those that are not wanted any more."""
        own = ("Deployment", child_name(endpoint, WORKER))
        wanted = self._desired(state, endpoint)
        await self._children.apply(endpoint, [one for one in wanted if identity(one) != own])
        async with state.deployment_lock:  # not longer: scaling waits for it
            wanted = self._desired(state, endpoint)
            await self._children.apply(endpoint, [one for one in wanted if identity(one) == own])
        pods = [pod for one in (GATEWAY, WORKER) for pod in self._cache.pods(endpoint.key, one)]
        rolling = any(
            read_deployment(one).rolling for one in deployments(self._cache, endpoint.key)
        )
        existing = self._cache.children(endpoint.key)
        unwanted = obsolete(endpoint, existing, wanted, pods, rolling=rolling)
        self._children.settle(endpoint, wanted, unwanted)
        await self._children.remove(endpoint, unwanted)

    def _desired(self, state: Reconciled, endpoint: AsyncEndpoint) -> list[Manifest]:
        """Return the desired children; the workers' Deployment keeps its replicas."""
        _, worker = deployments(self._cache, endpoint.key)
        decision = self._work.get(state.resource.uid, WorkState()).decision
        replicas = read_deployment(worker).wanted if worker else first_replicas(endpoint, decision)
        refusing = refusing_version(map(read_pod, self._cache.pods(endpoint.key, WORKER)))
        outdated = state.connection is not None and state.connection.reading.outdated > 0
        live = live_of(worker, replicas, refused=bool(refusing) or outdated)
        live = replace(live, console_secrets=self._console.uids(state.resource.uid))
        return desired(endpoint, self._platform, live)

    async def _complete(self, state: Reconciled) -> float | None:
        """Record and report that the present generation of the resource was reconciled."""
        key, generation = state.resource.key, state.resource.generation
        later = await self._causes.look(key)
        self._reconciled[key] = replace(state, generation=generation)
        again = await self._status.report(key)
        return min((at for at in (later, again) if at is not None), default=None)

    def _next_look(self, resource: Resource, again: float | None) -> float | None:
        """Return when to reconcile again though nothing that is watched changes."""
        retry = self._failures.retry_seconds(resource.uid)
        again = min(again or retry, retry) if retry is not None else again
        if self._reconciled[resource.key].connection is None:  # nothing tells of a new Secret
            again = min(again or _STUCK_SECONDS, _STUCK_SECONDS)
        pods = [pod for one in (GATEWAY, WORKER) for pod in self._cache.pods(resource.key, one)]
        created = _not_started(pods)
        if not created:
            return again
        # A pod does not report that a Secret it mounts was deleted: make sure that it exists.
        if time.time() - min(created) > _STUCK_SECONDS:
            self._users.forget_secret(resource.uid)
        return min(again or _STUCK_SECONDS, _STUCK_SECONDS)


def parse(key: str, manifest: Manifest) -> Resource:
    """Parse a resource: the API server checks most rules by the CRD, but not all, and not those of
    what was stored before.
    """
    uid, generation = manifest["metadata"]["uid"], manifest["metadata"].get("generation", 0)
    try:
        endpoint = AsyncEndpoint.parse(manifest)
    except ValidationError as error:
        found = error.errors()[:_MAX_FAULTS]
        texts = tuple(f"{format_path(fault['loc'])}: {fault['msg']}" for fault in found)
        return Resource(key, uid, generation, faults=texts)
    if faults := cluster_faults(endpoint):
        return Resource(key, uid, generation, faults=tuple(fault.render() for fault in faults))
    return Resource(key, uid, generation, endpoint)


def first_replicas(endpoint: AsyncEndpoint, decision: Decision | None) -> int:
    """Return how many workers a new Deployment has, also when it was deleted by hand."""
    if endpoint.spec.suspend:
        return 0
    if endpoint.spec.replicas is not None:
        return endpoint.spec.replicas
    return endpoint.spec.autoscaling.min_replicas if decision is None else decision.replicas


def _not_started(pods: Iterable[Manifest]) -> list[float]:
    """Return when those pods were created that have a node and do not run (s since 1970)."""
    return [
        pod.created
        for pod in map(read_pod, pods)
        if pod.phase == "Pending" and pod.scheduled and not pod.deleting and not pod.issue
    ]


def _has_moved(
    endpoint: AsyncEndpoint, manifest: Mapping[str, Any], location: RedisLocation
) -> bool:
    """Whether the jobs are on another Redis than the resource names now (docs/rules.md K24)."""
    before = (manifest.get("status") or {}).get("queue")
    return before not in (None, "", location.identity, endpoint.spec.redis.leave_queue)


def _moved(manifest: Mapping[str, Any], location: RedisLocation) -> Queue:
    before = str(manifest["status"]["queue"])
    text = (
        f"the jobs are on {before}, spec.redis names {location.identity}: nothing is changed until "
        f"spec.redis.leaveQueue is {before}"
    )
    return Queue(QueueReason.MOVED, text, identity=before)
