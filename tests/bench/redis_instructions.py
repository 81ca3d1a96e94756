"""Instructions of redis-server per job, by verb: with keys and limits, beside none.

They are counted by callgrind, so that what else the machine does changes nothing. Needs valgrind.
`python tests/bench/redis_instructions.py [--jobs N] [--batch N] [--cases NAME …]`
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from redis import exceptions
from redis.asyncio import Redis

from asyncendpoints_core.jobs.records import complete
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_core.store.replies import WorkerInfo
from bench.bench_keys import CASES, job
from bench.callgrind import Callgrind
from bench.store_redis import NULL, WORKER
from support.ports import free_port
from support.redis.binaries import server_binary
from support.store.work import endpoint

VERBS = ("enqueue", "claim", "settle")
# Under callgrind a lease of the default would end.
LONG = {"leaseSeconds": 300, "executionSeconds": 3600}


class CountingServer(Callgrind):
    """A redis-server under callgrind."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        server = [
            server_binary(),
            "--port",
            str(port),
            "--save",
            "",
            "--dir",
            str(folder),
            "--hz",
            "1",
        ]
        super().__init__(server, folder)

    async def ready(self) -> None:
        """Wait until it answers."""
        async with Redis.from_url(self.url) as redis:
            while True:
                try:
                    await redis.ping()
                except exceptions.ConnectionError:
                    await asyncio.sleep(0.1)
                else:
                    return


async def run(server: CountingServer, case: str, count: int, batch: int) -> dict[str, float]:
    """Return the instructions per job of each verb, in batches."""
    keys, limits = CASES[case]
    keys = min(keys, count // 2)
    more: dict[str, Any] = {} if limits is None else {"limits": limits}
    store = RedisStore(server.url, "bench/" + case.replace(" ", "-"))
    await store.open()
    made = endpoint(queue={"maxDepth": 1_000_000}, timeouts=LONG, **more)
    await store.configure(made.spec.policy())
    worker = WorkerInfo(WORKER, "pod", "n", 8)
    found: dict[str, float] = {}
    request = 0
    await store.register(worker)
    for size in (batch, count):  # the first time, scripts are loaded
        jobs = [job(number, keys, "noop") for number in range(size)]
        server.count()
        for first in range(0, len(jobs), batch):
            await store.enqueue(jobs[first : first + batch])
        found["enqueue"] = server.count() / len(jobs)
        taken = []
        for _ in range(0, len(jobs), batch):
            request += 1
            taken.append((await store.claim(WORKER, request, batch)).jobs)
        found["claim"] = server.count() / len(jobs)
        for claimed in taken:
            await store.settle([complete(one.claim, NULL) for one in claimed])
        found["settle"] = server.count() / len(jobs)
    await store.close()
    return found


async def main() -> None:
    """Print a line for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2_400)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=CASES)
    options = parser.parse_args()
    print(f"{'keys':<16}" + "".join(f"{verb:>10}" for verb in (*VERBS, "total")))
    with tempfile.TemporaryDirectory() as folder:
        server = CountingServer(Path(folder))
        try:
            await server.ready()
            for case in options.cases:
                found = await run(server, case, options.jobs, options.batch)
                each = [found[verb] for verb in VERBS]
                print(f"{case:<16}" + "".join(f"{one:>10.0f}" for one in (*each, sum(each))))
        finally:
            server.end()


if __name__ == "__main__":
    asyncio.run(main())
