"""Fair order among keys, and limits: which waiting jobs stand in the ready lines.

The twin of lua/lib/gate.lua; docs/adr/0014-fair-shares-and-limits.md has the design.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from asyncendpoints_core.store.memory.ordered import Key, Ordered
from asyncendpoints_core.store.pauses import Pause, is_paused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.jobs.policy import Limit
    from asyncendpoints_core.jobs.records import Priority

BOUND: Final = 100
TOTAL: Final = "t"
_EPSILON: Final = 1e-9


class Flow(NamedTuple):
    """The jobs of one key, priority and name."""

    key: str
    priority: Priority
    name: str

    @property
    def resources(self) -> tuple[str, ...]:
        """What limits of its own it has; a job without a key has none for keys."""
        named = f"j{self.name}"
        return (f"k{self.key}", named) if self.key else (named,)


class Gate:
    """Of each flow one job stands in a line, by its key's tag; the others wait behind it."""

    def __init__(
        self, lines: Mapping[Priority, Ordered], pauses: Mapping[str, Sequence[Pause]]
    ) -> None:
        """Start without keys and limits: `on` is False."""
        self._lines = lines
        self._pauses = pauses
        self.on = False
        self.limits: Mapping[str, Limit] = {}
        self.behind = 0
        self.order = Ordered()  # every waiting job by its sequence number
        self.places: dict[JobId, Flow] = {}
        self.running: dict[str, int] = {}
        self._waiting: dict[Flow, Ordered] = {}
        self._flows: dict[JobId, tuple[Flow, int]] = {}
        self._heads: dict[JobId, Key] = {}
        self._states: dict[Flow, JobId | str] = {}  # its job in a line, or where it is parked
        self._parked: dict[str, Ordered] = {}
        self._times: dict[str, int] = {}
        self._buckets: dict[str, tuple[float, int]] = {}
        self._last: dict[Priority, float] = {}
        self._tags: dict[tuple[Priority, str], float] = {}

    def configure(self, limits: Mapping[str, Limit], seq: int, now: int) -> None:
        """Put limits in force, and look at what was held back by others again."""
        if not self.on:
            self._last = dict.fromkeys(self._lines, float(seq))
        self.on, self.limits = True, limits
        self._times |= dict.fromkeys(self._parked, now)

    def _limit(self, resource: str) -> Limit | None:
        every = self.limits.get("k") if resource[0] == "k" else None
        return self.limits.get(resource, every)

    def _bucket(self, resource: str, limit: Limit, now: int) -> float:
        tokens, at = self._buckets.get(resource, (limit.burst, now))
        return min(limit.burst, tokens + max(0, now - at) * limit.rate / 1000)

    def full(self, resource: str, now: int) -> str:
        """Return "p" when it is paused, "c" when its places are taken, "r" when its rate is
        reached, else "".
        """
        if resource[0] == "j" and is_paused(self._pauses.get(resource[1:], ())):
            return "p"
        limit = self._limit(resource)
        if limit is None:
            return ""
        if limit.concurrency and self.running.get(resource, 0) >= limit.concurrency:
            return "c"
        empty = limit.rate and self._bucket(resource, limit, now) + _EPSILON < 1
        return "r" if empty else ""

    def held_back(self, flow: Flow, now: int) -> str:
        """Return which limit holds a flow back: k, j or t, and c or r; "" when none does."""
        for resource in (*flow.resources, TOTAL):
            why = self.full(resource, now)
            if why in ("c", "r"):
                return resource[0] + why
        return ""

    def depth(self, key: str) -> int:
        """Return how many jobs of a key may wait, 0 for any number."""
        limit = self._limit(f"k{key}") if key else None
        return limit.depth if limit else 0

    def allows(self, flow: Flow, now: int) -> bool:
        """Return whether no limit holds a job of `flow` back."""
        return not any(self.full(resource, now) for resource in (TOTAL, *flow.resources))

    def may_start(self, job_id: JobId, now: int) -> bool:
        """Return whether no limit is known to hold back a job that was added."""
        flow, _ = self._flows.get(job_id, (None, 0))
        if flow is None:
            return True
        return not isinstance(self._states.get(flow), str) and self.full(TOTAL, now) != "c"

    def _room(self, resource: str, now: int, most: int = BOUND) -> int:
        limit = self._limit(resource)
        if self.full(resource, now) == "p":
            return 0
        room = most
        if limit and limit.concurrency:
            room = min(room, limit.concurrency - self.running.get(resource, 0))
        if limit and limit.rate:
            room = min(room, math.floor(self._bucket(resource, limit, now) + _EPSILON))
        return max(0, room)

    def _token_at(self, resource: str, now: int) -> int:
        limit = self._limit(resource)
        if limit is None or not limit.rate:
            return now
        return now + math.ceil((1 - self._bucket(resource, limit, now)) * 1000 / limit.rate)

    def _tag(self, flow: Flow) -> float:
        finish = self._tags.get((flow.priority, flow.key), 0.0)
        return max(self._last[flow.priority], finish)

    def _weight(self, key: str) -> float:
        limit = self._limit(f"k{key}") if key else None
        return limit.weight if limit else 1.0

    def add(self, job_id: JobId, flow: Flow, seq: int) -> None:
        """Put a job into its flow."""
        self._flows[job_id] = flow, seq
        self.order.add((seq, job_id))
        head = self._states.get(flow)
        if isinstance(head, str) or (head is not None and self._flows[head][1] < seq):
            self._wait(job_id, flow, seq)
            return
        if head is not None:  # a job that was handed back comes before it
            self._leave_line(head, flow)
            self._wait(head, *self._flows[head])
        self._stand(job_id, flow)

    def _wait(self, job_id: JobId, flow: Flow, seq: int) -> None:
        self._waiting.setdefault(flow, Ordered()).add((seq, job_id))
        self.behind += 1

    def _stand(self, job_id: JobId, flow: Flow) -> None:
        key = self._heads[job_id] = (self._tag(flow), job_id)
        self._lines[flow.priority].add(key)
        self._states[flow] = job_id

    def _leave_line(self, job_id: JobId, flow: Flow) -> None:
        self._lines[flow.priority].remove(self._heads.pop(job_id))

    def _pull(self, flow: Flow) -> None:
        waiting = self._waiting.get(flow)
        head = waiting.peek() if waiting else None
        if waiting is None or head is None:
            self._states.pop(flow, None)
            return
        waiting.remove(head)
        self.behind -= 1
        if not len(waiting):
            del self._waiting[flow]
        self._stand(head[-1], flow)

    def remove(self, job_id: JobId) -> None:
        """Take a job out, wherever it waits; the next one of its flow takes its position."""
        found = self._flows.pop(job_id, None)
        if found is None:
            return
        flow, seq = found
        self.order.remove((seq, job_id))
        if job_id in self._heads:
            self._leave_line(job_id, flow)
            if self._states.get(flow) == job_id:
                self._pull(flow)
            return
        waiting = self._waiting[flow]
        waiting.remove((seq, job_id))
        self.behind -= 1
        if not len(waiting):
            del self._waiting[flow]

    def pass_over(self, job_id: JobId) -> None:
        """Let the next of a flow start: `job_id` stays in the line but cannot be read."""
        if job_id in self._heads:
            self._pull(self._flows[job_id][0])

    def admit(self, job_id: JobId, now: int) -> bool:
        """Return whether the job at the head of a line may start; if not, it has left the line."""
        flow, seq = self._flows[job_id]
        score = self._heads[job_id][0]
        if self._tags.get((flow.priority, flow.key), 0.0) > score:
            self._leave_line(job_id, flow)
            state = self._states[flow]
            self._stand(job_id, flow)
            self._states[flow] = state
            return False
        for resource in flow.resources:
            if why := self.full(resource, now):
                self._leave_line(job_id, flow)
                self._wait(job_id, flow, seq)
                if self._states[flow] == job_id:
                    self._states[flow] = resource
                    self._parked.setdefault(resource, Ordered()).add((score, *flow))
                if why == "r":
                    self._times[resource] = self._token_at(resource, now)
                return False
        return True

    def start(self, job_id: JobId, now: int) -> None:
        """Note that the job at the head of a line starts: its key moves on."""
        flow, _ = self._flows[job_id]
        score = self._heads[job_id][0]
        self._last[flow.priority] = max(self._last[flow.priority], score)
        self._tags[flow.priority, flow.key] = self._tag(flow) + 1 / self._weight(flow.key)
        self.book(job_id, flow, now)

    def book(self, job_id: JobId, flow: Flow, now: int) -> None:
        """Give a job its places and take its tokens."""
        self.places[job_id] = flow
        for resource in (TOTAL, *flow.resources):
            self.running[resource] = self.running.get(resource, 0) + 1
            limit = self._limit(resource)
            if limit and limit.rate:
                self._buckets[resource] = self._bucket(resource, limit, now) - 1, now

    def free(self, job_id: JobId, now: int) -> None:
        """Free the places of a job that does not run any more."""
        flow = self.places.pop(job_id, None)
        if flow is None:
            return
        for resource in (TOTAL, *flow.resources):
            self.running[resource] -= 1
            if not self.running[resource]:
                del self.running[resource]
            limit = self._limit(resource)
            if limit and limit.concurrency and resource in self._parked:
                self._times[resource] = now

    def unpark(self, now: int) -> int:
        """Let flows go on whose limit has room again; return how many."""
        due = sorted((at, resource) for resource, at in self._times.items() if at <= now)
        pulled = 0
        for _, resource in due[:BOUND]:
            room = self._room(resource, now)
            parked = self._parked.get(resource, Ordered())
            for key in parked.first(room):
                parked.remove(key)
                self._pull(Flow(*key[1:]))
                pulled += 1
            if not len(parked):
                self._parked.pop(resource, None)
            if not len(parked) or (room == 0 and self.full(resource, now) != "r"):
                del self._times[resource]
            elif room == 0:
                self._times[resource] = self._token_at(resource, now)
        return pulled

    def look_again(self, resource: str, now: int) -> None:
        """Look at the flows that a resource holds back."""
        if resource in self._parked:
            self._times[resource] = now

    def sweep(self, now: int) -> int:
        """Forget what says no more than nothing does; return how many flows go on."""
        for resource in list(self._buckets):
            limit = self._limit(resource)
            if not limit or self._bucket(resource, limit, now) >= limit.burst:
                del self._buckets[resource]
        self._tags = {
            (priority, key): finish
            for (priority, key), finish in self._tags.items()
            if finish > self._last[priority]
        }
        return self.unpark(now)

    def due(self, now: int) -> bool:
        """Return whether flows wait to be looked at now."""
        return any(at <= now for at in self._times.values())

    def next_ms(self, now: int) -> int | None:
        """Return when the next limit lets a job start by time alone; None when none does."""
        if self.full(TOTAL, now) == "r":
            return self._token_at(TOTAL, now)
        return min((at for at in self._times.values() if at > now), default=None)
