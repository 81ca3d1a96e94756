"""From the leader's records and the cache to one observation, and its status written when it
changed.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from asyncendpoints_core.resource import API_VERSION, KIND, AsyncEndpoint
from asyncendpoints_core.store.replies import WorkerState
from asyncendpoints_operator.control.container_exits import memory_kills
from asyncendpoints_operator.control.endpoint_state import Reconciled, WorkState
from asyncendpoints_operator.control.failures import Failures, Step
from asyncendpoints_operator.control.pod_causes import Causes
from asyncendpoints_operator.control.redis_users import RedisUsers
from asyncendpoints_operator.desired.gateway import console_uids
from asyncendpoints_operator.desired.naming import (
    GATEWAY,
    WORKER,
    Manifest,
    component_name,
    selector_text,
)
from asyncendpoints_operator.desired.network import url_of
from asyncendpoints_operator.kube.cache import Cache
from asyncendpoints_operator.kube.client import Cluster, Ref, Refused
from asyncendpoints_operator.kube.compact import owns_replicas
from asyncendpoints_operator.kube.late_pods import read_steady, without_crashing
from asyncendpoints_operator.kube.pod_state import (
    issue_of,
    read_deployment,
    refusing_version,
    template_of,
)
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
from asyncendpoints_operator.status.event_publisher import EventPublisher
from asyncendpoints_operator.status.observed import (
    Observed,
    Queue,
    QueueReason,
    RefusalReason,
    Scaling,
)
from asyncendpoints_operator.status.worker_reports import jobs_without_handler, recent_crashes

RETRY_SECONDS: Final = 0.5
"""When to try again while another write of the same status is under way."""


class StatusReport:
    """Reports endpoints from the records of reconciliation and of readings; it writes neither.

    All statuses share one budget. What is remembered of an endpoint is by UID: when its status was
    written, and what of it the API server did not keep since an older CRD lacks the field.
    """

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        counts_seconds: float,
        users: RedisUsers,
        publisher: EventPublisher,
        failures: Failures,
        reconciled: Mapping[str, Reconciled],
        work: Mapping[str, WorkState],
        causes: Causes,
    ) -> None:
        self._cluster, self._cache, self._interval = cluster, cache, counts_seconds
        self._users, self._publisher, self._failures = users, publisher, failures
        self._reconciled, self._work, self._causes = reconciled, work, causes
        self._budget = Budget()
        self._writing: set[str] = set()
        self._written_at: dict[str, float] = {}
        self._pruned: dict[str, Status] = {}
        self.writes = 0

    def forget(self, uid: str) -> None:
        """Drop what was remembered of an endpoint."""
        self._written_at.pop(uid, None)
        self._pruned.pop(uid, None)

    async def report(self, key: str) -> float | None:
        """Write the status if it changed; returns when to try again (s), None for never."""
        state, manifest = self._reconciled.get(key), self._cache.endpoint(key)
        if state is None or manifest is None or manifest["metadata"]["uid"] != state.resource.uid:
            return None
        connection = state.connection
        unread = connection is not None and state.queue.reason is QueueReason.NOT_READ
        refusals = self._failures.shown(state.resource.uid)
        unseen = not (state.generation or refusals)
        if (unread or unseen) and (manifest.get("status") or {}).get("conditions"):
            return None  # a new leader keeps its predecessor's status until it has seen everything
        queue = state.queue
        if connection is not None and self._users.is_shared(connection.redis):
            queue = replace(queue, shared=True)
        work = self._work.get(state.resource.uid, WorkState())
        seen = observe(self._cache, manifest, state, work, queue, self._causes)
        observed = replace(seen, refusals=refusals)
        return await self._write_unless_refused(key, manifest, observed)

    async def _write_unless_refused(
        self, key: str, manifest: Mapping[str, Any], observed: Observed
    ) -> float | None:
        """Write the status; what refuses it cannot be reported in it, so an Event does."""
        uid = manifest["metadata"]["uid"]
        step = Step("write the status of", KIND, manifest["metadata"]["name"])
        if not self._failures.due(uid, step):
            return self._failures.retry_seconds(uid)
        try:
            again = await self.write(manifest, observed)
        except Refused as error:
            self._failures.record(key, uid, step, RefusalReason.REFUSED, str(error))
            if self._failures.last(uid, step) in self._failures.shown(uid):
                text = f"its status cannot be written: {error}"
                self._publisher.publish(key, uid, [events.Event("Warning", "StatusRefused", text)])
            return self._failures.retry_seconds(uid)
        self._failures.clear(key, uid, step)
        return again

    async def write(self, resource: Mapping[str, Any], observed: Observed) -> float | None:
        """Write the status if it changed; returns when to try again (s), None for never."""
        meta, before = resource["metadata"], resource.get("status")
        uid = meta["uid"]
        if uid in self._writing:
            return RETRY_SECONDS  # with what is observed then
        after = build(observed, before, time.time())
        now = time.monotonic()
        changing = sum(now - at < OLDEST_COUNTS_SECONDS for at in self._written_at.values())
        write = decide_write(
            before,
            self._without_pruned(uid, before, after),
            now=now,
            last_write=self._written_at.get(uid),
            budget=self._budget,
            interval=counts_interval(changing, self._interval),
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
        self._written(made, after, before, now)
        return None

    def _written(
        self, made: Manifest, after: Status, before: Mapping[str, Any] | None, now: float
    ) -> None:
        """Take in a status that was written, and publish what changed in it."""
        meta, kept = made["metadata"], made.get("status") or {}
        uid = meta["uid"]
        self._cache.put(made)
        self.writes += 1
        self._written_at[uid] = now
        self._pruned[uid] = {key: value for key, value in after.items() if key not in kept}
        reported = before if (before or {}).get("conditions") else None  # not only its operator
        changes = events.of_change(reported, after)
        self._publisher.publish(f"{meta['namespace']}/{meta['name']}", uid, changes)

    def _without_pruned(self, uid: str, before: Mapping[str, Any] | None, after: Status) -> Status:
        """Return `after` without what was not kept: it alone is no reason for a patch."""
        pruned, kept = self._pruned.get(uid, {}), before or {}
        return {k: v for k, v in after.items() if k in kept or k not in pruned or pruned[k] != v}


def observe(
    cache: Cache,
    manifest: Mapping[str, Any],
    state: Reconciled,
    work: WorkState,
    queue: Queue,
    causes: Causes,
) -> Observed:
    """Put together everything the status is computed from."""
    decision, endpoint = work.decision, state.resource.endpoint
    observed = Observed(
        generation=state.generation,
        endpoint=endpoint,
        faults=state.resource.faults,
        queue=queue,
        scaling=Scaling(decision.target, decision.reason, decision.text) if decision else Scaling(),
        pinned_by=pinned_by(manifest),
        finalizers=tuple(manifest["metadata"].get("finalizers") or ())
        if is_terminating(manifest)
        else None,
        failures=work.failures,
    )
    seen, current = _with_objects(observed, state.resource.key, cache, causes)
    if endpoint is None and state.connection is not None:
        endpoint = state.connection.endpoint  # of the spec before, which stays in force
    if endpoint is None:
        return seen
    reading = state.connection.reading if state.connection else None
    seen = _with_workers(seen, endpoint, cache, reading.workers if reading else (), current)
    seen = replace(seen, outdated=reading.outdated if reading else 0)
    # A spec that is still being applied is not held against workers of the one before.
    applied = state.generation == state.resource.generation
    return seen if applied else replace(seen, without_handler=())


def _with_objects(
    observed: Observed, key: str, cache: Cache, causes: Causes
) -> tuple[Observed, set[str]]:
    """Add what the endpoint's objects in the cluster show, also where its spec is invalid; return
    the UIDs of the worker pods of the current template, too.
    """
    manifests = deployments(cache, key)
    gateway, worker = map(read_deployment, manifests)
    template, now = template_of(manifests[1]), time.time()
    gateways, workers = cache.pods(key, GATEWAY), cache.pods(key, WORKER)
    gateway_pods = [read_steady(pod, now) for pod in gateways]
    worker_pods = [read_steady(pod, now) for pod in workers]
    current = [pod for pod in worker_pods if pod.template == template]
    seen = replace(
        observed,
        gateway=without_crashing(gateway, gateway_pods),
        gateway_issue=issue_of(gateway, gateway_pods, causes.get((key, GATEWAY))),
        worker=without_crashing(worker, worker_pods),
        worker_issue=issue_of(worker, worker_pods, causes.get((key, WORKER))),
        unsupported=refusing_version(worker_pods),
        memory_kills=memory_kills(workers, now),
        gateway_kills=memory_kills(gateways, now),
        ready_template=template if any(pod.ready for pod in current) else "",
        console_secrets=console_uids(manifests[0]) if manifests[0] else None,
    )
    return seen, {pod.uid for pod in current}


def _with_workers(
    observed: Observed,
    endpoint: AsyncEndpoint,
    cache: Cache,
    workers: Sequence[WorkerState],
    current: set[str],
) -> Observed:
    """Add what the registered workers and the spec show; `current` are their pods' UIDs."""
    stats = observed.queue.stats
    service = cache.get("Service", endpoint.metadata.namespace, endpoint.name)
    return replace(
        observed,
        without_handler=jobs_without_handler(endpoint, workers, current),
        crashes=recent_crashes(workers, stats.now_ms) if stats else (),
        url=url_of(endpoint, _load_balancer(service)),
        selector=selector_text(endpoint),
    )


def is_terminating(manifest: Mapping[str, Any]) -> bool:
    """Whether the resource was deleted, and exists only until its finalizers are removed."""
    return "deletionTimestamp" in manifest["metadata"]


def deployments(cache: Cache, key: str) -> tuple[Manifest | None, Manifest | None]:
    """Return the Deployments of an endpoint's gateway and workers as they are."""
    namespace, _, name = key.partition("/")
    return (
        cache.get("Deployment", namespace, component_name(name, GATEWAY)),
        cache.get("Deployment", namespace, component_name(name, WORKER)),
    )


def _load_balancer(service: Mapping[str, Any] | None) -> str:
    """Return the address of a Service of type LoadBalancer, "" if it has none yet."""
    status = ((service or {}).get("status") or {}).get("loadBalancer") or {}
    for entry in status.get("ingress") or ():
        return str(entry.get("hostname") or entry.get("ip") or "")
    return ""


def pinned_by(manifest: Mapping[str, Any]) -> str:
    """Return the field manager that wrote spec.replicas last, "" if it is not set.

    The API server records no manager for writes through a custom resource's /scale.
    """
    if (manifest.get("spec") or {}).get("replicas") is None:
        return ""
    owners = [
        (entry.get("time", ""), entry.get("manager", ""))
        for entry in manifest["metadata"].get("managedFields") or ()
        if owns_replicas(entry)
    ]
    return str(max(owners)[1]) if owners else "/scale (kubectl scale, or an HPA)"
