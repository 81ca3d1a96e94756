"""An ordered set of tuples, like a sorted set in Redis: one list and bisection."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncendpoints_core.jobs.ids import JobId

# Numbers first, the job's id last: equal numbers are ordered by the id, as in Redis.
Key = tuple[Any, ...]

_COMPACT_AT = 1_000


class Ordered:
    """Keys in ascending order. Removal at the front is O(1), the rest O(log n) and a move."""

    __slots__ = ("_keys", "_start")

    def __init__(self) -> None:
        self._keys: list[Key] = []
        self._start = 0

    def __len__(self) -> int:
        return len(self._keys) - self._start

    def _at(self, key: Key) -> int:
        return bisect_left(self._keys, key, lo=self._start)

    def add(self, key: Key) -> None:
        """Insert `key` at its entry."""
        insort(self._keys, key, lo=self._start)

    def remove(self, key: Key) -> None:
        """Remove `key`; raises KeyError if it is missing."""
        index = self._at(key)
        if self._keys[index] != key:
            raise KeyError(key)
        if index > self._start:
            del self._keys[index]
            return
        self._start += 1
        if self._start > _COMPACT_AT and self._start * 2 > len(self._keys):
            del self._keys[: self._start]
            self._start = 0

    def rank(self, key: Key) -> int:
        """Return how many keys are before `key`."""
        return self._at(key) - self._start

    def peek(self, index: int = 0) -> Key | None:
        """Return the key at `index` from the front, or None beyond the end."""
        index += self._start
        return self._keys[index] if index < len(self._keys) else None

    def first(self, limit: int) -> list[Key]:
        """Return up to `limit` keys from the front."""
        return self._keys[self._start : self._start + limit]

    def ids(self) -> list[JobId]:
        """Return every job id, first to last."""
        return [key[-1] for key in self._keys[self._start :]]

    def descending(self, below: Key | None = None) -> Iterator[Key]:
        """Yield keys from the last to the first; only those below `below` when it is given."""
        index = len(self._keys) if below is None else self._at(below)
        while index > self._start:
            index -= 1
            yield self._keys[index]
