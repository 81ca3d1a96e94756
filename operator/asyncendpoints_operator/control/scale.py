"""Scales the workers of an endpoint: one reading → one decision → one step, about once a second.

The decision is autoscale.py's, the step scale_plan.py's; here they are carried out, each write only
while we lead. The memory of the decision is kept in Redis beside the queue, so a new leader goes on
where the last one was.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

import msgspec

from asyncendpoints_core.errors import AsyncEndpointsError, StoreError
from asyncendpoints_core.scaling.decide import Limits, Memory, Reason, decide, hold, signals_of
from asyncendpoints_operator.control.scale_plan import (
    CORDON_SECONDS,
    cordon_owner,
    loads,
    plan,
    slots_of,
    workers_for,
)
from asyncendpoints_operator.desired.naming import (
    COST_ANNOTATION,
    TEMPLATE_ANNOTATION,
    WORKER,
    child_name,
)
from asyncendpoints_operator.kube.client import Ref, Refused
from asyncendpoints_operator.kube.election import NotLeader
from asyncendpoints_operator.kube.pod_state import parse_time, read_deployment, read_pod
from asyncendpoints_operator.status import events
from asyncendpoints_operator.status.observed import Scaling

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from asyncendpoints_core.scaling.decide import Decision
    from asyncendpoints_core.store.protocol import Stats
    from asyncendpoints_operator.control.endpoint_state import Unit
    from asyncendpoints_operator.control.scale_plan import Step
    from asyncendpoints_operator.control.term import Term
    from asyncendpoints_operator.desired.naming import Manifest

log = logging.getLogger("asyncendpoints.operator")

_NOTE: Final = "scaling"
MAX_STARTUP_SECONDS: Final = 120.0


class Scaler:
    """Carries out what is decided for each endpoint."""

    def __init__(self, term: Term) -> None:
        self._term = term
        self.decisions: dict[str, int] = {}

    async def step(self, unit: Unit) -> None:
        """Decide on the unit's last reading, and do it. An error holds everything as it is."""
        endpoint = unit.endpoint
        worker = self._deployment(unit)
        if endpoint is None or worker is None:
            return
        now = read_deployment(worker)
        stats = unit.queue.stats
        if stats is None or unit.link is None:
            memory = unit.memory or Memory()
            self._seen(unit, hold(now.wanted, memory, unit.queue.message), None)
            return
        memory = self._recall(unit)
        template = (
            (worker["spec"]["template"].get("metadata") or {}).get("annotations") or {}
        ).get(TEMPLATE_ANNOTATION, "")
        manifests = self._term.cache.pods(unit.key, WORKER)
        found = loads([read_pod(pod) for pod in manifests], unit.workers, stats.now_ms)
        signals = signals_of(
            stats,
            now.wanted,
            workers_for(found, template),
            concurrency=slots_of(found, template),
            startup_ms=round(1000 * self._startup_seconds(manifests)),
            rollout=now.rolling,
        )
        decision = decide(signals, memory, Limits.of(endpoint.spec))
        step = plan(decision, found, now.wanted)
        self._seen(unit, decision, stats)
        await self._cordon(unit, step)
        await self._mark(unit, step, manifests)
        if step.replicas != now.wanted:
            await self._resize(unit, worker, step.replicas, decision)
        await self._remember(unit, decision)

    def _deployment(self, unit: Unit) -> Manifest | None:
        if unit.endpoint is None:
            return None
        namespace, name = unit.endpoint.metadata.namespace, child_name(unit.endpoint, WORKER)
        return self._term.cache.get("Deployment", namespace, name)

    def _seen(self, unit: Unit, decision: Decision, stats: Stats | None) -> None:
        unit.decision, unit.memory = decision, decision.memory
        unit.scaling = Scaling(decision.target, decision.reason, decision.text)
        self.decisions[decision.reason] = self.decisions.get(decision.reason, 0) + 1
        if unit.link is not None:
            unit.link.idle = stats is not None and _is_idle(stats, decision)

    async def _cordon(self, unit: Unit, step: Step) -> None:
        """Mark and unmark workers in the store, under this leader's own name."""
        assert unit.link is not None  # noqa: S101 - there was a reading
        if not (step.cordon or step.uncordon):
            return
        by = cordon_owner(self._term.lease.check())
        if step.cordon:
            await unit.link.store.cordon(step.cordon, CORDON_SECONDS, by)
        if step.uncordon:
            await unit.link.store.uncordon(step.uncordon, by)

    async def _mark(self, unit: Unit, step: Step, manifests: Iterable[Manifest]) -> None:
        """Write deletion costs; the Deployment is lowered once the cache shows them."""
        uids = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in manifests}
        namespace = unit.key.partition("/")[0]
        for name, cost in step.costs.items():
            self._term.lease.check()
            note = None if cost is None else str(cost)
            patch = {"metadata": {"uid": uids[name], "annotations": {COST_ANNOTATION: note}}}
            try:
                made = await self._term.cluster.merge(Ref("v1", "Pod", namespace, name), patch)
            except Refused as error:
                if not (error.missing or error.conflict):
                    raise
                continue  # it went meanwhile
            self._term.cache.put({**made, "apiVersion": "v1", "kind": "Pod"})

    async def _resize(
        self, unit: Unit, seen: Mapping[str, Any], replicas: int, decision: Decision
    ) -> None:
        """Write the Deployment's replicas: a decrease only over the state decided on."""
        before = read_deployment(seen).wanted
        meta = seen["metadata"]
        patch: Manifest = {"metadata": {"uid": meta["uid"]}, "spec": {"replicas": replicas}}
        if replicas < before:
            patch["metadata"]["resourceVersion"] = meta["resourceVersion"]
        async with unit.deploying:
            self._term.lease.check()
            ref = Ref("apps/v1", "Deployment", meta["namespace"], meta["name"])
            try:
                made = await self._term.cluster.merge(ref, patch)
            except Refused as error:
                if error.conflict or error.missing:
                    log.debug("%s: not resized: %s", unit.key, error)
                    return  # the next second decides on what is there then
                raise
            self._term.cache.put({**made, "apiVersion": "apps/v1", "kind": "Deployment"})
        log.info("%s: workers %d → %d: %s", unit.key, before, replicas, decision.text)
        done = msgspec.structs.replace(decision, replicas=replicas)
        self._term.reporter.publish(unit, events.of_scaling(before, done))

    def _recall(self, unit: Unit) -> Memory:
        """Return the memory of the last decision, that of an earlier leader at first."""
        if unit.memory is None and unit.link is not None:
            text = unit.link.notes.get(_NOTE, "")
            try:
                unit.memory = msgspec.json.decode(text, type=Memory) if text else Memory()
            except msgspec.DecodeError:
                unit.memory = Memory()  # of another version: scaling starts careful
        return unit.memory or Memory()

    async def _remember(self, unit: Unit, decision: Decision) -> None:
        if unit.link is not None:
            await unit.link.store.note(**{_NOTE: msgspec.json.encode(decision.memory).decode()})

    def _startup_seconds(self, manifests: Iterable[Manifest]) -> float:
        """Return how long the youngest ready pod took from its creation to Ready."""
        newest, took = 0.0, float(self._term.settings.startup_seconds)
        for pod in manifests:
            created = parse_time(pod["metadata"].get("creationTimestamp"))
            for condition in (pod.get("status") or {}).get("conditions") or ():
                ready = condition["type"] == "Ready" and condition["status"] == "True"
                if ready and created > newest:
                    newest = created
                    took = parse_time(condition.get("lastTransitionTime")) - created
        return min(MAX_STARTUP_SECONDS, max(1.0, took))


def _is_idle(stats: Stats, decision: Decision) -> bool:
    """Tell whether nothing can happen that Redis would not tell of: it is read less often."""
    waiting = stats.held or stats.due_ms or decision.demand
    settled = decision.replicas == decision.target and not decision.cordon
    waits_for_time = decision.reason in (Reason.IDLE, Reason.COOLING, Reason.NOT_READY)
    return not waiting and settled and not waits_for_time


class Steps:
    """Runs steps beside the loops that read: one at a time for each endpoint, late ones dropped."""

    def __init__(self, step: Scaler) -> None:
        self._step = step
        self._running: dict[str, asyncio.Task[None]] = {}

    def begin(self, unit: Unit, after: Any) -> None:
        """Take a step on the unit's last reading, then call `after`; unless one is under way."""
        if unit.key in self._running:
            return
        task = asyncio.create_task(self._run(unit, after))
        self._running[unit.key] = task
        task.add_done_callback(lambda _: self._running.pop(unit.key, None))

    async def close(self) -> None:
        """Cut off every step that is under way."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, unit: Unit, after: Any) -> None:
        try:
            await self._step.step(unit)
        except NotLeader as error:
            log.info("%s: %s", unit.key, error)
            return
        except StoreError as error:
            log.debug("%s: a step of scaling was not finished: %s", unit.key, error)
        except AsyncEndpointsError as error:
            log.warning("%s: a step of scaling was not finished: %s", unit.key, error)
        except Exception:
            log.exception("%s: a step of scaling failed", unit.key)
        await after(unit)
