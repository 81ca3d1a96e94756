"""Scales the workers of an endpoint: one reading, one decision, one step, about once a second.

scaling/decide.py decides and scale_plan.py plans the step; here it is carried out, each write only
while this process leads. The decision's memory is stored beside the queue, for the next leader.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.scaling.decide import Decision, Limits, Memory, Reason, decide, hold
from asyncendpoints_core.scaling.signals import signals_of
from asyncendpoints_core.store.replies import Stats
from asyncendpoints_operator.control import drift
from asyncendpoints_operator.control.failures import Failures
from asyncendpoints_operator.control.failures import Step as FailedStep
from asyncendpoints_operator.control.scale_plan import (
    CORDON_SECONDS,
    Step,
    cordon_owner,
    loads,
    plan,
    slots_of,
    workers_for,
)
from asyncendpoints_operator.control.status_report import deployments
from asyncendpoints_operator.desired.naming import (
    COST_ANNOTATION,
    WORKER,
    Manifest,
)
from asyncendpoints_operator.kube.cache import Cache
from asyncendpoints_operator.kube.client import Cluster, Ref, Refused
from asyncendpoints_operator.kube.election import Leadership
from asyncendpoints_operator.kube.late_pods import read_steady
from asyncendpoints_operator.kube.pod_state import (
    parse_time,
    read_deployment,
    template_of,
)
from asyncendpoints_operator.queues.queue_connection import QueueConnection
from asyncendpoints_operator.status import events
from asyncendpoints_operator.status.event_publisher import EventPublisher
from asyncendpoints_operator.status.observed import RefusalReason

log = logging.getLogger("asyncendpoints.operator")

_NOTE: Final = "scaling"
MAX_CHANGES: Final = 8
"""Times of changes by others that are remembered."""
MAX_STARTUP_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class ScalingPlan:
    """A decision and the step to carry out on the objects it was made from; None: hold still.

    `idle`: nothing can happen that Redis does not publish.
    """

    decision: Decision
    deployment: Mapping[str, Any]
    pods: tuple[Manifest, ...] = ()
    step: Step | None = None
    idle: bool = False


@dataclass(frozen=True, slots=True)
class Replicas:
    """The replicas of a workers' Deployment as last seen or written, and when others changed them
    (s, monotonic).
    """

    last: int
    changed: tuple[float, ...] = ()


class Scaler:
    """Decides on readings and carries the decisions out."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        lease: Leadership,
        publisher: EventPublisher,
        failures: Failures,
        startup_seconds: float,
    ) -> None:
        self._cluster, self._cache, self._lease = cluster, cache, lease
        self._publisher, self._failures = publisher, failures
        self._startup_seconds = startup_seconds
        self._replicas: dict[str, Replicas] = {}  # by the endpoint's UID

    def forget(self, uid: str) -> None:
        """Drop what was remembered of an endpoint's replicas."""
        self._replicas.pop(uid, None)

    def plan(
        self, endpoint: AsyncEndpoint, connection: QueueConnection, memory: Memory | None
    ) -> ScalingPlan | None:
        """Decide on the last reading; None while there is no Deployment to scale."""
        _, deployment = deployments(self._cache, connection.key)
        if deployment is None:
            return None
        present = read_deployment(deployment)
        queue, workers = connection.reading.queue, connection.reading.workers
        if queue.stats is None:
            held = hold(present.wanted, memory or Memory(), queue.message)
            return ScalingPlan(held, deployment)
        if memory is None:
            memory = _noted_memory(connection.notes)
        template = template_of(deployment)
        manifests = self._cache.pods(connection.key, WORKER)
        now = time.time()
        pods = [read_steady(pod, now) for pod in manifests]
        found = loads(pods, workers, queue.stats.now_ms)
        status = (self._cache.endpoint(connection.key) or {}).get("status") or {}
        failing = any(one.pod.issue and not one.pod.ready for one in found)
        signals = signals_of(
            queue.stats,
            present.wanted,
            workers_for(found, template),
            concurrency=slots_of(found, template),
            startup_ms=round(1000 * startup_seconds(manifests, self._startup_seconds)),
            rollout=present.rolling,
            proven=template != "" and status.get("readyTemplate") == template and not failing,
        )
        decision = decide(signals, memory, Limits.of(endpoint.spec))
        step = plan(decision, found, present.wanted)
        idle = _is_idle(queue.stats, decision)
        return ScalingPlan(decision, deployment, tuple(manifests), step, idle)

    async def carry_out(
        self, connection: QueueConnection, planned: ScalingPlan, deployment_lock: asyncio.Lock
    ) -> None:
        """Cordon, mark and resize as planned, and store the memory. Raises what they raise."""
        step = planned.step
        if step is None:
            return
        await self._detect_writer(connection, planned)
        before = read_deployment(planned.deployment).wanted
        if step.replicas > before:  # first: nothing below may keep more workers from starting
            async with deployment_lock:
                await self._resize(connection, planned, step.replicas)
        await self._cordon(connection, step)
        await self._mark(connection, step, planned.pods)
        if step.replicas < before:
            async with deployment_lock:
                await self._resize(connection, planned, step.replicas)
        elif step.replicas == before:
            self._failures.clear(connection.key, connection.identity.uid, _resize_step(planned))
        note = msgspec.json.encode(planned.decision.memory).decode()
        await connection.store.note(**{_NOTE: note})

    async def _detect_writer(self, connection: QueueConnection, planned: ScalingPlan) -> None:
        """Report a writer, such as an HPA, that changes the workers' replicas again and again."""
        key, uid, now = connection.key, connection.identity.uid, time.monotonic()
        wanted = read_deployment(planned.deployment).wanted
        known = self._replicas.get(uid, Replicas(wanted))
        changed = (*known.changed[-MAX_CHANGES:], now) if wanted != known.last else known.changed
        self._replicas[uid] = Replicas(wanted, changed)
        name = planned.deployment["metadata"]["name"]
        step = FailedStep("keep the replicas of", "Deployment", name)
        if not drift.is_loop(changed, now):
            self._failures.clear(key, uid, step)
        elif wanted != known.last:
            found = {}
            with contextlib.suppress(Refused):
                namespace = planned.deployment["metadata"]["namespace"]
                found = await self._cluster.get(Ref("apps/v1", "Deployment", namespace, name))
            text = f"replicas: {drift.describe_writer(found)}"
            self._failures.record(key, uid, step, RefusalReason.DRIFT_LOOP, text, lasting=True)

    async def _cordon(self, connection: QueueConnection, step: Step) -> None:
        """Cordon and uncordon workers in the store, in this leader's own name."""
        if not (step.cordon or step.uncordon):
            return
        by = cordon_owner(self._lease.check())
        if step.cordon:
            await connection.store.cordon(step.cordon, CORDON_SECONDS, by)
        if step.uncordon:
            await connection.store.uncordon(step.uncordon, by)

    async def _mark(
        self, connection: QueueConnection, step: Step, pods: Iterable[Manifest]
    ) -> None:
        """Write deletion costs; the Deployment is lowered once the cache shows them."""
        key, uid = connection.key, connection.identity.uid
        by_name = {pod["metadata"]["name"]: pod["metadata"] for pod in pods}
        marks = {name: FailedStep("mark", "Pod", name) for name in step.costs}
        self._failures.keep(key, uid, "mark", marks.values())
        for name, cost in step.costs.items():
            if not self._failures.due(uid, marks[name]):
                continue
            meta = by_name[name]
            annotations = {COST_ANNOTATION: None if cost is None else str(cost)}
            patch = {"metadata": {"uid": meta["uid"], "annotations": annotations}}
            try:
                made = await self._cluster.merge(Ref("v1", "Pod", meta["namespace"], name), patch)
            except Refused as error:
                self._record(connection, marks[name], error)  # or it was deleted meanwhile
                continue
            self._failures.clear(key, uid, marks[name])
            self._cache.put(made)

    async def _resize(
        self, connection: QueueConnection, planned: ScalingPlan, replicas: int
    ) -> None:
        """Write the Deployment's replicas, or as near to them as the API server accepts."""
        key, uid, step = connection.key, connection.identity.uid, _resize_step(planned)
        if not self._failures.due(uid, step):
            return
        before = reached = read_deployment(planned.deployment).wanted
        tried, refused, made = replicas, None, None
        while made is None and tried != before:
            try:
                made, reached = await self._write_replicas(planned, tried), tried
            except Refused as error:
                refused = error
                # A policy may accept less; what else is wrong does not depend on the number.
                halve = error.status < 500 and not (error.conflict or error.missing)
                tried = before + int((tried - before) / 2) if halve else before
        if refused is None:
            self._failures.clear(key, uid, step)
        else:
            self._record(connection, step, refused)
        if made is None:
            return  # the next decision is made on the new state
        self._cache.put(made)
        self._replicas[uid] = replace(self._replicas[uid], last=reached)
        log.info("%s: workers %d → %d: %s", key, before, reached, planned.decision.text)
        done = msgspec.structs.replace(planned.decision, replicas=reached)
        self._publisher.publish(key, uid, events.of_scaling(before, done))

    async def _write_replicas(self, planned: ScalingPlan, replicas: int) -> Manifest:
        """Write the Deployment's replicas; a decrease only over the state decided on."""
        meta = planned.deployment["metadata"]
        patch: Manifest = {"metadata": {"uid": meta["uid"]}, "spec": {"replicas": replicas}}
        if replicas < read_deployment(planned.deployment).wanted:
            patch["metadata"]["resourceVersion"] = meta["resourceVersion"]
        ref = Ref("apps/v1", "Deployment", meta["namespace"], meta["name"])
        return await self._cluster.merge(ref, patch)

    def _record(self, connection: QueueConnection, step: FailedStep, error: Refused) -> None:
        key, uid = connection.key, connection.identity.uid
        self._failures.record(key, uid, step, RefusalReason.SCALING, str(error))


def _resize_step(planned: ScalingPlan) -> FailedStep:
    return FailedStep("resize", "Deployment", planned.deployment["metadata"]["name"])


def _noted_memory(notes: Mapping[str, str]) -> Memory:
    """Return the memory that an earlier leader stored; an empty one scales carefully."""
    text = notes.get(_NOTE, "")
    try:
        return msgspec.json.decode(text, type=Memory) if text else Memory()
    except msgspec.DecodeError:
        return Memory()  # of another version


def startup_seconds(pods: Iterable[Manifest], default: float) -> float:
    """Return how long the newest ready pod took from its creation until it was ready."""
    newest, took = 0.0, default
    for pod in pods:
        created = parse_time(pod["metadata"].get("creationTimestamp"))
        for condition in (pod.get("status") or {}).get("conditions") or ():
            ready = condition["type"] == "Ready" and condition["status"] == "True"
            if ready and created > newest:
                newest = created
                took = parse_time(condition.get("lastTransitionTime")) - created
    return min(MAX_STARTUP_SECONDS, max(1.0, took))


def _is_idle(stats: Stats, decision: Decision) -> bool:
    waiting = stats.held or stats.due_ms or decision.demand
    settled = decision.replicas == decision.target and not decision.cordon
    waits_for_time = decision.reason in (Reason.IDLE, Reason.COOLING, Reason.NOT_READY)
    return not waiting and settled and not waits_for_time
