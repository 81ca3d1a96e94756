"""Instructions that a typical job costs the process of a worker.

They are counted by callgrind, so that what else the machine does changes little. Needs valgrind.
The jobs are queued without HTTP. The process has an engine alone, without a supervisor.
`python tests/bench/worker_instructions.py [--jobs N] [--concurrency N]`
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from asyncendpoints_core.common.event_loop import run_with_user_code
from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import NewJob, Request
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.process.logs import current_job
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_core.store.replies import WorkerInfo
from asyncendpoints_worker.engine.loop import Engine
from asyncendpoints_worker.engine.options import Options
from asyncendpoints_worker.engine.run_status import RunStatusPage, create
from asyncendpoints_worker.handlers.target import target_of
from asyncendpoints_worker.metrics import Metrics
from bench.callgrind import Callgrind
from bench.store_redis import WORKER
from support.redis.server import RedisServer
from support.store.work import endpoint

HERE = Path(__file__).parent
BODY = json.dumps({"customer": "0123456789", "text": "x" * 58}).encode()
HEADERS = {"accept": "*/*", "user-agent": "Python/3.11 aiohttp/3.13"}
WARM_UP = 1_000


def resource(concurrency: int) -> AsyncEndpoint:
    """Return the endpoint; under callgrind a lease of the default would end."""
    return endpoint(
        worker={"handlers": "drain_jobs", "concurrency": concurrency},
        queue={"maxDepth": 1_000_000},
        timeouts={"leaseSeconds": 300, "executionSeconds": 3600},
    )


class _Lease:
    """Never renewed."""

    def check_lease(self, worker: str) -> None:
        """Do nothing."""

    def register_again(self) -> None:
        """Do nothing."""


async def work(url: str, concurrency: int) -> int:
    """Run jobs until SIGTERM."""
    made, clock = resource(concurrency), SystemTime()
    target = target_of(made, [HERE], None, None, clock)
    store = RedisStore(url, made.key)
    page = RunStatusPage(create(2 * concurrency))
    engine = Engine(
        *(store, target, _Lease(), clock),
        concurrency=concurrency,
        policy=made.spec.policy(),
        metrics=Metrics(),
        options=Options(status_page=page),
    )
    await store.open()
    await store.register(WorkerInfo(WORKER, "pod", "n", concurrency))
    engine.assign(WORKER)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, engine.drain)
    await engine.run()
    await store.close()
    return 0


async def drain(store: RedisStore, count: int, before: int) -> None:
    """Let `count` jobs be queued, then drained; `before` were completed."""
    await store.pause()
    for _ in range(0, count, 500):
        request = Request("POST", "/work", "", {}, HEADERS, "application/json", BODY)
        now = int(time.time() * 1000)
        await store.enqueue([NewJob(ids.new(now), "typical", request, 4) for _ in range(500)])
    await store.resume()
    while (await store.stats()).counts.get(State.COMPLETED, 0) < before + count:  # noqa: ASYNC110
        await asyncio.sleep(0.1)


async def measure(count: int, concurrency: int, folder: Path) -> float:
    """Return the instructions of a job; `count` is a multiple of 500."""
    with RedisServer() as server:
        made = resource(concurrency)
        store = RedisStore(server.url, made.key)
        await store.open()
        await store.configure(made.spec.policy())
        own = [sys.executable, __file__, "--concurrency", str(concurrency), "--url", server.url]
        worker = Callgrind(own, folder, {**os.environ, "PYTHONHASHSEED": "0"})
        try:
            await drain(store, WARM_UP, 0)
            worker.count()
            await drain(store, count, WARM_UP)
            found = worker.count()
        finally:
            worker.end()
        await store.close()
    return found / count


def main() -> int:
    """Print the figure, or be the worker."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=3_000)
    parser.add_argument("--concurrency", type=int, default=100)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.url is not None:
        return run_with_user_code(work(options.url, options.concurrency), current_job.get)
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(options.jobs, options.concurrency, Path(folder)))
    print(f"{found:.0f} instructions a job, concurrency {options.concurrency}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
