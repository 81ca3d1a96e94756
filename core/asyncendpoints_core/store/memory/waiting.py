"""Figures of the jobs at the gate: how many may start, and what starts before each.

The twin of lua/lib/startable.lua and lua/lib/position.lua.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.store.memory.gate import TOTAL, Gate
from asyncendpoints_core.store.positions import Position

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.jobs.records import Priority
    from asyncendpoints_core.store.memory.ordered import Ordered

_LOOK: Final = 100
_LOOK_WEIGHTS: Final = 16
_MOST: Final = 2**32 - 1
_LONGEST_MS: Final = 3_600_000


class WaitingJobs(Gate):
    """The gate, with these figures."""

    def startable(self, queued: int, suspects: int, now: int) -> int:
        """Return how many of `queued` jobs no limit holds back; see lua/lib/startable.lua."""
        if not self.limits:
            return queued
        room: dict[str, int] = {}
        looked = excess = 0
        found = suspects
        heads = [key[-1] for line in self._lines.values() for key in line.first(_LOOK)]
        for job_id in heads[:_LOOK]:
            flow, looked = self._flows[job_id][0], looked + 1
            waiting = 1 + len(self._waiting.get(flow, ()))
            for resource in flow.resources:
                room.setdefault(resource, self._room(resource, now, queued))
            most = min(waiting, *(room[resource] for resource in flow.resources))
            for resource in flow.resources:
                room[resource] -= most
            found, excess = found + most, excess + waiting - most
        if self._parked:
            found += sum(map(len, self._lines.values())) - looked
        else:
            found = queued - excess
        return min(found, self._room(TOTAL, now, queued))

    def _mean_weight(self, line: Ordered) -> float:
        weights = [self._weight(self._flows[key[-1]][0].key) for key in line.first(_LOOK_WEIGHTS)]
        return sum(weights) / len(weights) if weights else 1.0

    def _starts(self, priority: Priority, key: str, number: int) -> int:
        """Return how many jobs of a line start for `number` of a key."""
        line = self._lines[priority]
        share = self._mean_weight(line) / self._weight(key)
        return min(_MOST, math.floor(number * max(1, len(line)) * share))

    def _rate_wait(self, resource: str, before: int, now: int) -> int:
        limit = self._limit(resource)
        if limit is None or not limit.rate:
            return 0
        return math.ceil((before + 1 - self._bucket(resource, limit, now)) * 1000 / limit.rate)

    def _rates_wait(self, ahead: int, before: int, resources: Sequence[str], now: int) -> int:
        waits = (self._rate_wait(resource, before, now) for resource in resources)
        return min(_LONGEST_MS, max(0, self._rate_wait(TOTAL, ahead, now), *waits))

    def position(self, job_id: JobId, now: int) -> Position:
        """Return what starts before a job; an estimate for all but the first of a flow."""
        flow, seq = self._flows[job_id]
        ahead = before = 0
        if key := self._heads.get(job_id):
            ahead = self._lines[flow.priority].rank(key)
        else:
            before = self._waiting[flow].rank((seq, job_id))
            ahead = self._starts(flow.priority, flow.key, before + 1)
            before += not isinstance(self._states.get(flow), str)
        if not self.limits:
            return Position(ahead)
        return Position(ahead, before, self._rates_wait(ahead, before, flow.resources, now))

    def position_of_key(self, key: str, priority: Priority, now: int) -> Position:
        """Return what starts before the next job of a key."""
        ahead = self._starts(priority, key, 1)
        return Position(ahead, 0, self._rates_wait(ahead, 0, (f"k{key}",), now))
