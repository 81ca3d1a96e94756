"""A discrete-event simulation of one endpoint's scaling, with the real decision function and the
real order of starts among keys and within limits.

Time is virtual milliseconds. Workers take a while to start, claim as slots are free, and are
removed in a ReplicaSet's order, so that a decision that would kill a busy worker is seen to.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf

from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.policy import Limit, limits_of
from asyncendpoints_core.jobs.records import Priority
from asyncendpoints_core.scaling.decide import Limits, Memory, decide, hold
from asyncendpoints_core.scaling.signals import Signals
from asyncendpoints_core.scaling.victims import Worker
from asyncendpoints_core.store.memory.gate import Flow
from asyncendpoints_core.store.memory.ordered import Ordered
from asyncendpoints_core.store.memory.waiting import WaitingJobs

TICK_MS = 1_000
START = 1_700_000_000_000
DEFAULTS = Limits()


@dataclass(frozen=True)
class Scenario:
    """The input: `arrivals` are (time, service time), all in ms from 0; outages are intervals.

    `small`: arrivals of a second tenant. `per_key`: the limit of each tenant.
    """

    name: str
    title: str
    arrivals: list[tuple[int, int]]
    duration_ms: int
    limits: Limits = DEFAULTS
    concurrency: int = 4
    startup_ms: int = 8_000
    initial: int = 0
    outages: tuple[tuple[int, int], ...] = ()
    never_ready_from: float = inf
    proven: bool = False
    small: Sequence[tuple[int, int]] = ()
    per_key: Limit | None = None


@dataclass
class Sample:
    """What one tick read and decided; `reason` is the decision's. `held_back`: waiting jobs that a
    limit does not let start.
    """

    at_ms: int
    demand: int
    want: int
    replicas: int
    ready: int
    reason: str
    held_back: int = 0


@dataclass
class Trace:
    """The outcome. `waits` are ms from arrival to start, `small_waits` those of the second tenant
    alone; `killed` counts busy workers removed.
    """

    samples: list[Sample] = field(default_factory=list)
    waits: list[int] = field(default_factory=list)
    small_waits: list[int] = field(default_factory=list)
    rejected: int = 0
    unfinished: int = 0
    killed: int = 0
    worker_ms: int = 0
    changes: int = 0
    reversals: int = 0

    def wait_s(self, share: float, *, small: bool = False) -> float:
        """Return the wait that `share` of the started jobs did not exceed, in seconds."""
        ordered = sorted(self.small_waits if small else self.waits)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1_000 if ordered else 0.0

    def at(self, at_ms: int) -> Sample:
        """Return what the last tick at or before a time saw."""
        return max((s for s in self.samples if s.at_ms <= at_ms), key=lambda s: s.at_ms)


@dataclass
class _Worker:
    name: str
    ready_at: float
    held: int = 0
    cordoned: bool = False


Event = tuple[int, int, Callable[[], None]]


class Simulation:
    """Runs one scenario; `run` returns its trace."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._now = 0
        self._events: list[Event] = []
        self._order = 0
        self._line = Ordered()
        self._gate = WaitingJobs({Priority.NORMAL: self._line}, {})
        self._gate.configure(limits_of(every_key=scenario.per_key), 0, 0)
        self._numbers = 0
        self._waiting: dict[JobId, tuple[int, int, bool]] = {}
        self._workers: list[_Worker] = []
        self._names = 0
        self._proven = scenario.proven
        self._replicas = scenario.initial
        self._memory = Memory()
        self._claimed = self._ended = self._busy = 0
        self._direction = 0
        self._trace = Trace()

    def run(self) -> Trace:
        scenario = self._scenario
        for at, service in scenario.arrivals:
            self._at(at, partial(self._arrive, service))
        for at, service in scenario.small:
            self._at(at, partial(self._arrive, service, small=True))
        for at in range(0, scenario.duration_ms, TICK_MS):
            self._at(at, self._tick)
        for _, end in scenario.outages:
            self._at(end, self._claim)
        self._set_replicas(scenario.initial)
        for worker in self._workers:
            worker.ready_at = 0
        while self._events:
            at, _, action = heapq.heappop(self._events)
            if at > scenario.duration_ms:
                break
            self._trace.worker_ms += len(self._workers) * (at - self._now)
            self._now = at
            action()
        self._trace.unfinished = len(self._waiting) + sum(worker.held for worker in self._workers)
        return self._trace

    def _at(self, at: int, action: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (at, self._order, action))

    def _away(self) -> int | None:
        """Return when the current outage ends, or None."""
        return next((e for b, e in self._scenario.outages if b <= self._now < e), None)

    def _arrive(self, service: int, *, small: bool = False) -> None:
        if self._away() is not None:
            self._trace.rejected += 1
            return
        self._numbers += 1
        job = JobId(self._numbers.to_bytes(16, "big"))
        self._waiting[job] = (self._now, service, small)
        key = "small" if small else "large"
        self._gate.add(job, Flow(key, Priority.NORMAL, "work"), self._numbers)
        self._claim()

    def _next(self) -> JobId | None:
        """Return the job that starts next, None if none may."""
        while key := self._line.peek():
            if self._gate.admit(key[-1], self._now):
                return JobId(key[-1])
        return None

    def _claim(self) -> None:
        if self._away() is not None:
            return
        slots = self._scenario.concurrency
        open_ = [w for w in self._workers if w.ready_at <= self._now and not w.cordoned]
        self._gate.unpark(self._now)
        while job := self._next():
            worker = min(open_, key=lambda w: w.held, default=None)
            if worker is None or worker.held >= slots:
                return
            arrived, service, small = self._waiting.pop(job)
            self._gate.start(job, self._now)
            self._gate.remove(job)
            self._trace.waits.append(self._now - arrived)
            if small:
                self._trace.small_waits.append(self._now - arrived)
            worker.held += 1
            self._claimed += 1
            self._at(self._now + service, partial(self._end, worker, service, job))

    def _end(self, worker: _Worker, service: int, job: JobId) -> None:
        away = self._away()
        if away is not None:  # the outcome and its slot are kept until it can be delivered
            self._at(away, partial(self._end, worker, service, job))
            return
        self._gate.free(job, self._now)
        worker.held -= 1
        self._ended += 1
        self._busy += service
        self._claim()

    def _startable(self) -> int:
        return self._gate.startable(len(self._waiting), 0, self._now)

    def _signals(self) -> Signals:
        self._proven |= any(worker.ready_at <= self._now for worker in self._workers)
        return Signals(
            now_ms=START + self._now,
            ready=self._startable(),
            running=sum(w.held for w in self._workers if not w.cordoned),
            held=sum(w.held for w in self._workers),
            due=0,
            claimed=self._claimed,
            ended=self._ended,
            busy_ms=self._busy,
            replicas=self._replicas,
            workers=tuple(
                Worker(w.name, w.held, w.ready_at <= self._now, w.cordoned) for w in self._workers
            ),
            concurrency=self._scenario.concurrency if self._workers else 0,
            proven=self._proven,
        )

    def _tick(self) -> None:
        if self._away() is None:
            decision = decide(self._signals(), self._memory, self._scenario.limits)
        else:
            decision = hold(self._replicas, self._memory, "the store cannot be reached")
        self._memory = decision.memory
        for worker in self._workers:
            if worker.name in decision.cordon:
                worker.cordoned = True
            elif worker.name in decision.uncordon:
                worker.cordoned = False
        self._set_replicas(decision.replicas)
        self._claim()
        ready = sum(worker.ready_at <= self._now for worker in self._workers)
        sample = Sample(
            self._now,
            decision.demand,
            decision.want,
            self._replicas,
            ready,
            decision.reason,
            len(self._waiting) - self._startable(),
        )
        self._trace.samples.append(sample)

    def _set_replicas(self, replicas: int) -> None:
        step = (replicas > self._replicas) - (replicas < self._replicas)
        if step:
            self._trace.changes += 1
            self._trace.reversals += step == -self._direction
            self._direction = step
        self._replicas = replicas
        while len(self._workers) < replicas:
            self._names += 1
            ready_at = self._now + self._scenario.startup_ms
            if ready_at >= self._scenario.never_ready_from:
                worker = _Worker(f"w{self._names:04}", inf)
            else:
                worker = _Worker(f"w{self._names:04}", ready_at)
                self._at(ready_at, self._claim)
            self._workers.append(worker)
        while len(self._workers) > replicas:
            # A ReplicaSet removes pods that are not ready first, then by the lowest deletion cost.
            victim = min(
                self._workers,
                key=lambda w: (w.ready_at <= self._now, not (w.cordoned and not w.held)),
            )
            self._trace.killed += victim.held > 0
            self._workers.remove(victim)
