"""How old the job counts in a status are, with many endpoints that change every second."""

import asyncio
import contextlib
import statistics
import time

from asyncendpoints_core.store.redis import RedisStore
from support.kube.installed import Installed
from support.kube.provider.shell import wait_until
from support.kube.timed_watch import TimedWatch
from support.queues import new_job

CHANGING = 50
ROUNDS = 30


class Watched:
    """When each number of waiting jobs was first seen in each status (s, monotonic)."""

    def __init__(self, installed: Installed, place: str) -> None:
        fields = "{.metadata.name} {.status.jobs.queued}"
        self._watch = TimedWatch(installed.cluster, place, "aep", template=fields)
        self.close = self._watch.close

    def reached(self, name: str, queued: int) -> float | None:
        """When a status first had `queued` jobs or more; None if it has not."""
        lines = ((at, line.partition(" ")) for at, line in self._watch.lines)
        found = (at for at, (who, _, seen) in lines if who == name and int(seen or 0) >= queued)
        return next(found, None)


async def submit(url: str, place: str, names: list[str]) -> dict[tuple[str, int], float]:
    """Enqueue a job for each endpoint every second; returns when (s, monotonic)."""
    stores = {name: RedisStore(url, f"{place}/{name}") for name in names}
    made: dict[tuple[str, int], float] = {}
    for store in stores.values():
        await store.open()
    began = time.monotonic()
    for number in range(1, ROUNDS + 1):
        for index, (name, store) in enumerate(stores.items()):
            due = began + number - 1 + index / len(names)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await store.enqueue([new_job()])
            made[name, number] = time.monotonic()
    for store in stores.values():
        await store.close()
    return made


def freshness(installed: Installed, place: str) -> list[float]:
    """The seconds from each job's submission until the status counts it, in ascending order."""
    names = [f"changing-{number}" for number in range(CHANGING)]
    spec = {"gateway": {"replicas": 0}, "replicas": 0}
    installed.cluster.apply(*(installed.resource(place, name, **spec) for name in names))
    with contextlib.closing(Watched(installed, place)) as watched, installed.redis_url() as url:

        def all_read() -> bool:
            items = installed.cluster.get("aep", "--namespace", place)["items"]
            return sum("jobs" in item.get("status", {}) for item in items) == CHANGING

        wait_until(f"{CHANGING} endpoints to be read", all_read, seconds=300, every=2)
        made = asyncio.run(submit(url, place, names))

        def all_seen() -> bool:
            return all(watched.reached(name, ROUNDS) is not None for name in names)

        wait_until("the last counts", all_seen, seconds=60)
        seen = {key: watched.reached(*key) for key in made}
    return sorted(at - made[key] for key, at in seen.items() if at is not None)


def described(ages: list[float]) -> str:
    """The median, the 99th percentile and the longest of the ages."""
    high = statistics.quantiles(ages, n=100)[98]
    return f"{statistics.median(ages):.1f} s, {high:.1f} s, {ages[-1]:.1f} s"
