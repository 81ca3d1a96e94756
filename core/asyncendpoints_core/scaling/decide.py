"""The autoscaling decision: how many workers an endpoint should have. Pure.

`asyncendpoints run` and the operator call `decide` about once a second and apply the result; here
nothing is read, written or timed. docs/scaling.md has the formulas, `estimate.py` their inputs.
"""

from __future__ import annotations

from enum import StrEnum
from math import ceil
from typing import TYPE_CHECKING, Final

import msgspec

from asyncendpoints_core.scaling.estimate import MAX_GAP_MS, Estimate, observe
from asyncendpoints_core.scaling.victims import count_removable, victim_order

if TYPE_CHECKING:
    from asyncendpoints_core.resource import EndpointSpec
    from asyncendpoints_core.scaling.signals import Signals

WINDOW_MS: Final = 60_000
"""The stabilization window: a scale-down goes to the largest want in this time.

Chosen with tests/bench/simulate_scaling.py: the shortest with which workers neither follow every
pulse of work nor are removed while slow ones are still starting.
"""
BURST: Final = 4
"""Workers that may always be added in one step; beyond it their number may at most double."""


class Limits(msgspec.Struct, frozen=True):
    """The limits in the resource. `pinned`: spec.replicas, None for autoscaling. Times in ms."""

    min_replicas: int = 0
    max_replicas: int = 20
    target_wait_ms: int = 10_000
    idle_ms: int = 300_000
    pinned: int | None = None
    suspend: bool = False

    @classmethod
    def of(cls, spec: EndpointSpec, *, at_least: int = 0) -> Limits:
        """Return the limits of a resource, with a minimum of `at_least` workers."""
        scaling = spec.autoscaling
        return cls(
            min_replicas=max(at_least, scaling.min_replicas),
            max_replicas=scaling.max_replicas,
            target_wait_ms=round(scaling.target_wait_seconds * 1_000),
            idle_ms=round(scaling.idle_seconds * 1_000),
            pinned=spec.replicas,
            suspend=spec.suspend,
        )

    @property
    def window_ms(self) -> int:
        """The stabilization window, which is at most idleSeconds."""
        return min(WINDOW_MS, self.idle_ms)


class Memory(msgspec.Struct, frozen=True):
    """The state between decisions; if it is lost, scaling restarts cautiously.

    `active_ms`: when there was work last. `wants`: (time, want) of the window, without those
    followed by a larger one. `demand`: the last one.
    """

    at_ms: int = 0
    active_ms: int = 0
    concurrency: int = 0
    wants: tuple[tuple[int, int], ...] = ()
    estimate: Estimate = Estimate()
    demand: int = 0


class Reason(StrEnum):
    """The reason of a decision; for conditions, events and metrics."""

    UP = "ScaledUp"
    DOWN = "ScaledDown"
    ZERO = "ScaledToZero"
    STEADY = "Steady"
    AT_MAX = "AtMaximum"
    COOLING = "Cooling"  # fewer workers would do, but the window is not over
    IDLE = "Idle"  # no work; the last worker stays for idleSeconds
    DRAINING = "Draining"  # workers to be removed still hold jobs
    PINNED = "Pinned"
    PAUSED = "Paused"
    SUSPENDED = "Suspended"
    ROLLOUT = "RolloutUnderWay"
    NOT_READY = "NoReadyWorker"
    ERROR = "ReadingFailed"


class Decision(msgspec.Struct, frozen=True):
    """The `replicas` to set now, as a step towards `target`.

    `cordon`: workers to cordon, or to renew the cordon of; `uncordon`: those to uncordon. `text` is
    a one-line explanation. `demand` and `want` are the inputs of the decision, as are `before`, the
    replicas that were set, and how many `workers` were ready.
    """

    replicas: int
    target: int
    reason: Reason
    text: str
    memory: Memory
    cordon: tuple[str, ...] = ()
    uncordon: tuple[str, ...] = ()
    demand: int = 0
    want: int = 0
    before: int = 0
    workers: int = 0


def hold(replicas: int, memory: Memory, error: str) -> Decision:
    """Keep the number of workers: without a reading, an error must not be treated as zero."""
    return Decision(
        replicas,
        replicas,
        Reason.ERROR,
        f"kept at {replicas}: {error}",
        memory,
        demand=memory.demand,
        want=memory.wants[-1][1] if memory.wants else replicas,
        before=replicas,
    )


def decide(signals: Signals, memory: Memory, limits: Limits) -> Decision:
    """Decide on a new reading; if reading failed, use `hold`."""
    memory = _remember(signals, memory)
    demand = signals.startable + signals.running
    want = _want(signals, memory, limits, demand)
    memory = msgspec.structs.replace(
        memory, demand=demand, wants=_window(memory, limits, want, signals.now_ms)
    )
    target, reason = _target(signals, memory, limits, want)
    if signals.paused and reason in (Reason.STEADY, Reason.COOLING, Reason.IDLE):
        reason = Reason.PAUSED
    if signals.rollout and 0 < target < signals.replicas:
        # A Deployment spreads the decrease over old and new pods, regardless of deletion costs.
        target, reason = signals.replicas, Reason.ROLLOUT
    replicas, cordon = _descend(signals, target) if target < signals.replicas else (target, ())
    if target < replicas == signals.replicas and reason not in (Reason.PINNED, Reason.SUSPENDED):
        reason = Reason.DRAINING
    return Decision(
        replicas=replicas,
        target=target,
        reason=reason,
        text=_text(signals, memory, limits, (replicas, target), reason),
        memory=memory,
        cordon=cordon,
        uncordon=tuple(w.name for w in signals.workers if w.cordoned and w.name not in cordon),
        demand=demand,
        want=want,
        before=signals.replicas,
        workers=sum(worker.ready for worker in signals.workers),
    )


def _remember(signals: Signals, memory: Memory) -> Memory:
    """Update the memory by a reading. A gap between readings (an outage) does not count as idle."""
    now = signals.now_ms
    gap = now - memory.at_ms
    if not memory.at_ms:
        memory = Memory(active_ms=now)
    elif gap > MAX_GAP_MS:
        memory = msgspec.structs.replace(
            memory,
            active_ms=memory.active_ms + gap,
            wants=tuple((at + gap, want) for at, want in memory.wants),
        )
    return msgspec.structs.replace(
        memory,
        at_ms=now,
        active_ms=now if signals.busy else memory.active_ms,
        concurrency=signals.concurrency or memory.concurrency or 1,
        estimate=observe(
            memory.estimate,
            now,
            signals.ready,
            signals.held,
            (signals.claimed, signals.ended, signals.busy_ms),
        ),
    )


def _want(signals: Signals, memory: Memory, limits: Limits, demand: int) -> int:
    """Return how many workers the present work needs, regardless of limits."""
    slots = memory.concurrency
    if not demand:
        idle = signals.now_ms - memory.active_ms >= limits.idle_ms and not signals.held
        return 0 if idle or not signals.replicas else 1
    cap = ceil(demand / slots)
    seconds = memory.estimate.service_s
    if seconds is None:
        return cap
    rate = memory.estimate.arrivals_s + signals.ready / (limits.target_wait_ms / 1_000)
    slo = ceil(rate * seconds / slots)
    return max(1, min(cap, max(slo, ceil(signals.running / slots))))


def _window(memory: Memory, limits: Limits, want: int, now_ms: int) -> tuple[tuple[int, int], ...]:
    kept = [(at, old) for at, old in memory.wants if old > want and now_ms - at < limits.window_ms]
    return (*kept, (now_ms, want))


def _target(signals: Signals, memory: Memory, limits: Limits, want: int) -> tuple[int, Reason]:
    """Return the number of workers to reach, in however many steps, and why."""
    now = signals.replicas
    if limits.suspend:
        return 0, Reason.SUSPENDED
    if limits.pinned is not None:
        return limits.pinned, Reason.PINNED
    low, high = limits.min_replicas, max(limits.min_replicas, limits.max_replicas)
    target = min(max(want, low), high)
    if target > now:
        ready = any(worker.ready and worker.current for worker in signals.workers)
        if not (ready or signals.proven):
            target, reason = min(target, max(1, now, low)), Reason.NOT_READY
        else:
            reason = Reason.AT_MAX if want > high else Reason.UP
        if now or not signals.proven:  # from zero, a proven template starts with all
            target = min(target, max(now + max(BURST, now), low))
        return target, reason if target == now else Reason.UP
    # Scale down to the largest want in the window, but to zero only after idleSeconds.
    largest = max(old for _, old in memory.wants)
    down = min(max(largest, low), high, now)
    if want == 0 and low == 0:
        down = 0
    if down < now:
        return down, Reason.ZERO if down == 0 else Reason.DOWN
    if want > high:
        return now, Reason.AT_MAX
    if target < now:
        return now, Reason.COOLING
    return now, Reason.STEADY if signals.busy or not now else Reason.IDLE


def _descend(signals: Signals, target: int) -> tuple[int, tuple[str, ...]]:
    """Return the next number of workers on the way down, and the workers to cordon.

    Only workers that are known to be idle are removed; missing ones count first.
    """
    missing = max(0, signals.replicas - len(signals.workers))
    leaving = max(0, len(signals.workers) - signals.replicas)
    order = victim_order(signals.workers)
    victims = order[: leaving + max(0, signals.replicas - target - missing)]
    empty = count_removable(victims) - leaving
    cordon = tuple(worker.name for worker in victims)
    replicas = max(
        target, signals.replicas - min(missing, signals.replicas - target) - max(0, empty)
    )
    if signals.rollout and replicas > target:
        return signals.replicas, cordon
    return replicas, cordon


def _text(
    signals: Signals, memory: Memory, limits: Limits, step: tuple[int, int], reason: Reason
) -> str:
    replicas, target = step
    now = signals.replicas
    work = f"{signals.ready} queued, {signals.running} running"
    if signals.due:
        work += f", {signals.due} due soon"
    service = memory.estimate.service_s
    if service is not None:
        work += f", {service:.3g} s per job, {memory.estimate.arrivals_s:.3g} jobs/s"
    head = f"kept at {now}"
    if replicas != now:
        head = f"{now} → {replicas}" + (f" (target {target})" if target != replicas else "")
    why = {
        Reason.AT_MAX: f"maxReplicas ({limits.max_replicas}) is reached",
        Reason.COOLING: f"fewer would do, but not yet for {limits.window_ms / 1_000:g} s",
        Reason.IDLE: f"no work; the last worker is removed after {limits.idle_ms / 1_000:g} s",
        Reason.DRAINING: f"draining to {target}",
        Reason.PINNED: f"pinned at {limits.pinned} by spec.replicas",
        Reason.SUSPENDED: "suspended: jobs are accepted but not run",
        Reason.PAUSED: "paused: jobs are accepted but not run",
        Reason.ROLLOUT: "no scale-down during a rollout",
        Reason.NOT_READY: "no worker of the current template is ready",
        Reason.ZERO: f"no work for {limits.idle_ms / 1_000:g} s",
    }.get(reason)
    if reason is Reason.UP and target == limits.min_replicas:
        why = f"at least {target}"
    return f"{head}: {why} ({work})" if why else f"{head}: {work}"
