"""The order of a page's rows, by the parameter `sort` of its query: `?sort=count`, `?sort=-count`.

What no column of the page is called leaves the rows as the page has them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    from multidict import MultiMapping

    Item: TypeAlias = Mapping[str, Any]

PARAMETER: Final = "sort"
DESCENDING: Final = "-"


@dataclass(frozen=True, slots=True)
class Column:
    """A column that rows can be sorted by. `value` gives a text or a number, None where the row
    has none; `largest`: the first order that is offered begins with the largest.
    """

    value: Callable[[Item], Any]
    largest: bool = False


def _running_seconds(worker: Item) -> float | None:
    return max((job["elapsedSeconds"] for job in worker["running"]), default=None)


def _jobs_in(state: str) -> Callable[[Item], Any]:
    return lambda endpoint: endpoint.get("jobs", {}).get(state)


OVERVIEW: Final = {
    "name": Column(lambda item: f"{item['namespace']}/{item['name']}"),
    "queued": Column(_jobs_in("Queued"), largest=True),
    "running": Column(_jobs_in("InProgress"), largest=True),
    "failed": Column(lambda item: item.get("failuresLastHour"), largest=True),
    "oldest": Column(lambda item: item.get("oldestQueuedAt")),
    "workers": Column(lambda item: item.get("workers"), largest=True),
}
JOBS: Final = {
    "job": Column(lambda job: job["name"]),
    "state": Column(lambda job: job["state"]),
    "created": Column(lambda job: job["createdAt"], largest=True),
    "attempt": Column(lambda job: job["attempt"], largest=True),
}
WORKERS: Final = {
    "worker": Column(lambda worker: worker["id"]),
    "used": Column(lambda worker: worker["held"], largest=True),
    "heartbeat": Column(lambda worker: worker["lastHeartbeatAt"]),
    "longest": Column(_running_seconds, largest=True),
}
SCHEDULES: Final = {
    "schedule": Column(lambda schedule: schedule["name"]),
    "next": Column(lambda schedule: schedule["nextTime"]),
    "last": Column(lambda schedule: schedule["lastTime"], largest=True),
    "missed": Column(lambda schedule: schedule["missed"], largest=True),
}
WEBHOOKS: Final = {
    "webhook": Column(lambda webhook: webhook["name"]),
    "state": Column(lambda webhook: webhook["state"]),
    "pending": Column(lambda webhook: webhook["pending"], largest=True),
}
FAILURES: Final = {
    "job": Column(lambda group: group["job"]),
    "error": Column(lambda group: group["error"]),
    "count": Column(lambda group: group["count"], largest=True),
    "newest": Column(lambda group: group["newest"]["completedAt"], largest=True),
}
AUDIT: Final = {
    "time": Column(lambda record: record["time"], largest=True),
    "action": Column(lambda record: record["action"]),
    "role": Column(lambda record: record["role"]),
    "user": Column(lambda record: record["claimedUser"]),
}


@dataclass(frozen=True, slots=True)
class Order:
    """The order that a request names, and the links to others. `chosen`: no column, or one."""

    columns: Mapping[str, Column]
    chosen: str | None
    descending: bool
    kept: Sequence[tuple[str, str]]

    @property
    def given(self) -> str:
        """What the query says, "" for what no column is called."""
        if self.chosen is None:
            return ""
        return f"{DESCENDING if self.descending else ''}{self.chosen}"

    @property
    def parameter(self) -> Sequence[tuple[str, str]]:
        """The parameter of links that keep this order."""
        return [(PARAMETER, self.given)] if self.given else []

    def rows(self, items: Iterable[Item]) -> list[Item]:
        """Return the rows in this order. Rows without a value are the last in both directions."""
        if self.chosen is None:
            return list(items)
        value = self.columns[self.chosen].value
        found = [(value(item), item) for item in items]
        present = [pair for pair in found if pair[0] is not None]
        present.sort(key=lambda pair: _comparable(pair[0]), reverse=self.descending)
        return [item for _, item in present] + [item for found, item in found if found is None]

    def direction(self, name: str) -> str:
        """Return the value of `aria-sort` of a column, "" unless rows are sorted by it."""
        if name != self.chosen:
            return ""
        return "descending" if self.descending else "ascending"

    def link(self, name: str) -> str:
        """Return the query that sorts by a column, or turns its order round."""
        down = not self.descending if name == self.chosen else self.columns[name].largest
        wanted = f"{DESCENDING if down else ''}{name}"
        return "?" + urlencode([*self.kept, (PARAMETER, wanted)])


def _comparable(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value


def order(query: MultiMapping[str], columns: Mapping[str, Column]) -> Order:
    """Return the order that a query names, with the other parameters kept in its links."""
    given = query.get(PARAMETER, "")
    name = given.removeprefix(DESCENDING)
    return Order(
        columns,
        name if name in columns else None,
        given.startswith(DESCENDING),
        [(key, value) for key, value in query.items() if key != PARAMETER],
    )
