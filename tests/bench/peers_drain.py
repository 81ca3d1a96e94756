"""Drains jobs with one of PEERS (Redis, results stored); prints jobs a second and its CPU time.

A process of its own, as a worker of the peer's is, by the Python that the peers are installed for:
`python peers_drain.py PEER REDIS_URL COUNT BODY [fill]`. Each job gets the JSON body and returns a
small result. With `fill` the jobs are only queued.
"""

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

# Of those that run jobs in an event loop, and of those that run them in threads.
CONCURRENCY, THREADS = 100, 8


class Progress:
    """Counts jobs that end, from its creation on."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._began = time.perf_counter(), time.process_time()
        self._ended = asyncio.Event()

    def one_ended(self) -> None:
        """Count one job."""
        self._left -= 1
        if not self._left:
            self._ended.set()

    async def report(self, count: int) -> NoReturn:
        """Wait for the last job; print jobs a second and the processor time in seconds, and exit.

        At once: a worker that is asked to stop need not end.
        """
        await self._ended.wait()
        began, used = self._began
        print(count / (time.perf_counter() - began), time.process_time() - used, flush=True)
        os._exit(0)


async def taskiq(url: str, count: int, body: dict[str, str], drain: bool) -> None:
    """Run taskiq with its list broker and its asynchronous result backend."""
    from taskiq import TaskiqMiddleware
    from taskiq.api import run_receiver_task
    from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend

    class Count(TaskiqMiddleware):
        def post_save(self, message: Any, result: Any) -> None:
            progress.one_ended()

    results: Any = RedisAsyncResultBackend(redis_url=url)
    broker = ListQueueBroker(url=url).with_result_backend(results).with_middlewares(Count())

    @broker.task(task_name="typical")
    async def typical(body: dict[str, str]) -> dict[str, object]:
        return {"customer": body["customer"], "pages": 12}

    await broker.startup()
    for _ in range(count):
        await typical.kiq(body)
    if drain:
        progress = Progress(count)
        receiver = run_receiver_task(broker, max_async_tasks=CONCURRENCY)
        await asyncio.gather(receiver, progress.report(count))
    await broker.shutdown()


async def saq(url: str, count: int, body: dict[str, str], drain: bool) -> None:
    """Run SAQ with its Redis queue."""
    from saq import Queue, Worker

    async def typical(context: Any, *, customer: str, text: str) -> dict[str, object]:
        return {"customer": customer, "pages": 12}

    async def ended(context: Any) -> None:
        progress.one_ended()

    queue = Queue.from_url(url)
    await queue.connect()
    for _ in range(count):
        await queue.enqueue("typical", **body)
    if drain:
        functions: list[Any] = [typical]
        worker = Worker(queue, functions, concurrency=CONCURRENCY, after_process=ended)
        progress = Progress(count)
        await asyncio.gather(worker.start(), progress.report(count))
    await queue.disconnect()


async def huey(url: str, count: int, body: dict[str, str], drain: bool) -> None:
    """Run huey with threads, as its command does."""
    from huey import RedisHuey
    from huey.signals import SIGNAL_COMPLETE

    app = RedisHuey("bench", url=url)
    loop = asyncio.get_running_loop()

    @app.task()
    def typical(body: dict[str, str]) -> dict[str, object]:
        return {"customer": body["customer"], "pages": 12}

    @app.signal(SIGNAL_COMPLETE)
    def ended(signal: str, task: Any) -> None:
        loop.call_soon_threadsafe(progress.one_ended)

    for _ in range(count):
        typical(body)
    if drain:
        consumer = app.create_consumer(workers=THREADS, periodic=False)
        progress = Progress(count)
        consumer.start()
        await progress.report(count)


PEERS: dict[str, Callable[[str, int, dict[str, str], bool], Awaitable[None]]] = {
    "taskiq": taskiq,
    "huey": huey,
    "SAQ": saq,
}


def main(name: str, url: str, count: str, body: str, *words: str) -> None:
    """Queue `count` jobs, and drain them unless `fill` is said."""
    logging.disable(logging.CRITICAL)

    async def run() -> None:
        await PEERS[name](url, int(count), json.loads(body), "fill" not in words)

    asyncio.run(run())


if __name__ == "__main__":
    main(*sys.argv[1:])
