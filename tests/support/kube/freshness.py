"""How old the job counts in a status are, with many endpoints that change every second."""

import asyncio
import base64
import contextlib
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from asyncendpoints_core.store.redis import RedisStore
from support.kube.installed import SYSTEM_NAMESPACE, Installed
from support.kube.provider.shell import wait_until
from support.queues import new_job

CHANGING = 50
ROUNDS = 30


class Watched:
    """When each number of waiting jobs was first seen in each status (s, monotonic)."""

    def __init__(self, installed: Installed, place: str) -> None:
        fields = r"jsonpath={.metadata.name} {.status.jobs.queued}{'\n'}"
        self._process = subprocess.Popen(
            ["kubectl", "get", "aep", "--namespace", place, "--watch", "-o", fields],
            env=installed.cluster.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.seen: dict[str, list[tuple[float, int]]] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            name, _, queued = line.strip().partition(" ")
            self.seen.setdefault(name, []).append((time.monotonic(), int(queued or 0)))

    def reached(self, name: str, queued: int) -> float | None:
        """When a status first had `queued` jobs or more; None if it has not."""
        return next((at for at, seen in self.seen.get(name, ()) if seen >= queued), None)

    def close(self) -> None:
        """End the watch."""
        self._process.terminate()
        self._process.wait()
        self._reader.join()


@contextlib.contextmanager
def redis_url(installed: Installed) -> Iterator[str]:
    """The development Redis of the chart, through a port-forward."""
    name = ("secret", "asyncendpoints-redis", "--namespace", SYSTEM_NAMESPACE)
    url = urlsplit(base64.b64decode(installed.cluster.get(*name)["data"]["url"]).decode())
    with installed.cluster.port_forward(SYSTEM_NAMESPACE, "asyncendpoints-redis", 6379) as forward:
        at = urlsplit(forward.url)
        yield f"redis://{url.username or ''}:{url.password or ''}@{at.hostname}:{at.port}"


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
    with contextlib.closing(Watched(installed, place)) as watched, redis_url(installed) as url:

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
