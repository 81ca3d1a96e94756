"""Drains jobs with dramatiq (Redis, results stored); prints jobs a second and its CPU time.

A process of its own, as a worker of dramatiq's is: `python dramatiq_drain.py REDIS_URL COUNT`, for
jobs that do nothing; with a JSON body after that, for jobs that get it and return a small result;
with `fill` after that, the jobs are only queued.
"""

import json
import logging
import sys
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

# What `dramatiq` starts in each process by default.
THREADS = 8


def main(url: str, count: int, body: str | None = None, *words: str) -> None:
    """Enqueue `count` jobs, then start a worker and wait until all are done."""
    logging.disable(logging.CRITICAL)
    broker = RedisBroker(url=url)  # type: ignore[no-untyped-call]
    results = Results(backend=RedisBackend(url=url))  # type: ignore[no-untyped-call]
    broker.add_middleware(results)
    dramatiq.set_broker(broker)

    @dramatiq.actor(store_results=True)
    def noop() -> None: ...

    @dramatiq.actor(store_results=True)
    def typical(body: dict[str, str]) -> dict[str, object]:
        return {"customer": body["customer"], "pages": 12}

    for _ in range(count):
        if body is None:
            noop.send()
        else:
            typical.send(json.loads(body))
    if "fill" in words:
        return
    worker = dramatiq.Worker(broker, worker_threads=THREADS)
    started, used = time.perf_counter(), time.process_time()
    worker.start()
    broker.join(noop.queue_name)
    worker.join()
    print(count / (time.perf_counter() - started), time.process_time() - used)
    worker.stop()
    broker.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
