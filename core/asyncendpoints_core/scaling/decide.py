"""How many workers an endpoint should have: a pure decision over a reading and a memory.

`asyncendpoints run` and the operator call `decide` about once a second and do what it says; here
nothing is read, written or timed. docs/scaling.md has the formulas, `estimate.py` their inputs.
"""

from __future__ import annotations

from enum import StrEnum
from math import ceil
from typing import TYPE_CHECKING, Final

import msgspec

from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.scaling.estimate import MAX_GAP_MS, Estimate, observe
from asyncendpoints_core.scaling.victims import count_removable, victim_order

if TYPE_CHECKING:
    from asyncendpoints_core.resource import EndpointSpec
    from asyncendpoints_core.store.replies import Stats

WINDOW_MS: Final = 60_000
"""How long the largest want counts before workers go.

Chosen by tests/bench/simulate_scaling.py: the shortest with which workers neither come and go with
every pulse of work nor leave while slow starters arrive.
"""
BURST: Final = 4
"""Workers that may always be added in one step; from there on their number may double."""


class Worker(msgspec.Struct, frozen=True):
    """One worker (a pod, or a local one) that is not ending yet.

    `held`: jobs it holds. `current`: whether it runs the present template.
    """

    name: str
    held: int = 0
    ready: bool = True
    cordoned: bool = False
    current: bool = True


class Signals(msgspec.Struct, frozen=True):
    """One reading. Times in ms, `now_ms` by the store's clock.

    `ready`: Queued jobs. `running`: jobs held by workers that are not cordoned or draining;
    `held`: by any. `due`: Scheduled jobs that fall due before a new worker would be up. `claimed`,
    `ended`, `busy_ms`: totals that only grow. `replicas`: workers wanted until now, which is not
    the number of those that are there. `concurrency`: jobs that one worker runs at a time, 0 if no
    worker has told yet. `rollout`: the workers are being replaced by those of a new template.
    """

    now_ms: int
    ready: int
    running: int
    held: int
    due: int
    claimed: int
    ended: int
    busy_ms: int
    replicas: int
    workers: tuple[Worker, ...] = ()
    concurrency: int = 0
    rollout: bool = False


class Limits(msgspec.Struct, frozen=True):
    """What the resource says. `pinned`: spec.replicas, or None for autoscaling. Times in ms."""

    min_replicas: int = 0
    max_replicas: int = 20
    target_wait_ms: int = 10_000
    idle_ms: int = 300_000
    pinned: int | None = None
    suspend: bool = False

    @classmethod
    def of(cls, spec: EndpointSpec, *, at_least: int = 0) -> Limits:
        """Return the limits of a resource; `at_least` workers stay whatever its minimum is."""
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
        """The window for going down: never longer than an idle last worker would be kept."""
        return min(WINDOW_MS, self.idle_ms)


class Memory(msgspec.Struct, frozen=True):
    """What one decision leaves for the next; small, and safe to lose (scaling then starts careful).

    `active_ms`: when there last was work. `wants`: (time, want), those that a later and larger one
    has not outdone. `demand`: the last one.
    """

    at_ms: int = 0
    active_ms: int = 0
    concurrency: int = 0
    wants: tuple[tuple[int, int], ...] = ()
    estimate: Estimate = Estimate()
    demand: int = 0


class Reason(StrEnum):
    """Why a decision is what it is; for conditions, events and metrics."""

    UP = "ScaledUp"
    DOWN = "ScaledDown"
    ZERO = "ScaledToZero"
    STEADY = "Steady"
    AT_MAX = "AtMaximum"
    COOLING = "Cooling"  # fewer would do, but the window is not over
    IDLE = "Idle"  # nothing to do; the last worker waits for idleSeconds
    DRAINING = "Draining"  # workers that shall go still hold jobs
    PINNED = "Pinned"
    SUSPENDED = "Suspended"
    ROLLOUT = "RolloutUnderWay"
    NOT_READY = "NoReadyWorker"
    ERROR = "ReadingFailed"


class Decision(msgspec.Struct, frozen=True):
    """`replicas` to set now, and the `target` on the way to which that is.

    `cordon`: workers to cordon (again: marks expire); `uncordon`: those to take it from. `text` is
    one line for people. `demand` and `want` are what the decision started from.
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


def signals_of(
    stats: Stats,
    replicas: int,
    workers: tuple[Worker, ...],
    *,
    concurrency: int,
    startup_ms: int,
    rollout: bool = False,
) -> Signals:
    """Put a reading together from the store's figures; `startup_ms` is how long a worker takes."""
    claimed = stats.totals.get("claimed", 0)
    return Signals(
        now_ms=stats.now_ms,
        ready=stats.counts.get(State.QUEUED, 0),
        running=stats.held_active,
        held=stats.held,
        due=sum(due <= stats.now_ms + startup_ms for due in stats.due_ms),
        claimed=claimed,
        ended=claimed - stats.counts.get(State.IN_PROGRESS, 0),
        busy_ms=stats.totals.get("busy_ms", 0),
        replicas=replicas,
        workers=workers,
        concurrency=concurrency,
        rollout=rollout,
    )


def hold(replicas: int, memory: Memory, error: str) -> Decision:
    """Keep everything as it is: there is no reading, and an error is never read as zero."""
    return Decision(
        replicas,
        replicas,
        Reason.ERROR,
        f"kept at {replicas}: {error}",
        memory,
        demand=memory.demand,
        want=memory.wants[-1][1] if memory.wants else replicas,
    )


def decide(signals: Signals, memory: Memory, limits: Limits) -> Decision:
    """Decide on one fresh reading; `hold` is for when there is none."""
    memory = _remember(signals, memory)
    demand = signals.ready + signals.running + signals.due
    want = _want(signals, memory, limits, demand)
    memory = msgspec.structs.replace(
        memory, demand=demand, wants=_window(memory, limits, want, signals.now_ms)
    )
    target, reason = _target(signals, memory, limits, want)
    if signals.rollout and 0 < target < signals.replicas:
        # The Deployment would spread the decrease over old and new pods, whatever their cost.
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
    )


def _remember(signals: Signals, memory: Memory) -> Memory:
    """Take the reading into the memory. After a gap, time stood still: an outage is not idleness"""
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
    busy = signals.ready or signals.due or signals.held
    return msgspec.structs.replace(
        memory,
        at_ms=now,
        active_ms=now if busy else memory.active_ms,
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
    """How many workers this moment's work is worth, limits aside."""
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
    """Where to go, however many steps that takes, and why."""
    now = signals.replicas
    if limits.suspend:
        return 0, Reason.SUSPENDED
    if limits.pinned is not None:
        return limits.pinned, Reason.PINNED
    low, high = limits.min_replicas, max(limits.min_replicas, limits.max_replicas)
    target = min(max(want, low), high)
    if target > now:
        if not any(worker.ready and worker.current for worker in signals.workers):
            target, reason = min(target, max(1, now, low)), Reason.NOT_READY
        else:
            reason = Reason.AT_MAX if want > high else Reason.UP
        target = min(target, max(now + max(BURST, now), low))
        return target, reason if target == now else Reason.UP
    # The largest want of the window stands; the window itself leaves one, and idleSeconds zero.
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
    busy = signals.ready or signals.due or signals.held
    return now, Reason.STEADY if busy or not now else Reason.IDLE


def _descend(signals: Signals, target: int) -> tuple[int, tuple[str, ...]]:
    """Return how many workers may stay for now on the way down, and which are to be cordoned.

    Only as many may go as are known to hold nothing; those that are missing go first.
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
    work = f"{signals.ready} wait, {signals.running} run"
    if signals.due:
        work += f", {signals.due} fall due"
    service = memory.estimate.service_s
    if service is not None:
        work += f", {service:.3g} s each, {memory.estimate.arrivals_s:.3g}/s come"
    if replicas != now:
        head = f"{now} → {replicas}" + (f" on the way to {target}" if target != replicas else "")
    else:
        head = f"kept at {now}"
    why = {
        Reason.AT_MAX: f"the maximum of {limits.max_replicas} is reached",
        Reason.COOLING: f"fewer would do, but not yet for {limits.window_ms / 1_000:g} s",
        Reason.IDLE: f"nothing to do; the last worker goes after {limits.idle_ms / 1_000:g} s",
        Reason.DRAINING: f"those above {target} finish their jobs first",
        Reason.PINNED: f"pinned at {limits.pinned} by spec.replicas",
        Reason.SUSPENDED: "suspended: jobs are accepted, none is run",
        Reason.ROLLOUT: "no scale-down while a rollout is under way",
        Reason.NOT_READY: "no worker of the current template is ready",
        Reason.ZERO: f"nothing to do for {limits.idle_ms / 1_000:g} s",
    }.get(reason)
    if reason is Reason.UP and target == limits.min_replicas:
        why = f"at least {target} stay"
    return f"{head}: {why} ({work})" if why else f"{head}: {work}"
