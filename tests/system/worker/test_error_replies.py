"""Jobs that end while Redis answers with an error of its own: none runs twice, none is Failed."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from redis import Redis

from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_core.store.redis.scripts import load
from asyncendpoints_worker import JobContext
from asyncendpoints_worker.handlers.registry import HANDLER, Declaration, Registry
from asyncendpoints_worker.local import LocalWorker
from support.redis.binaries import NAMES
from support.redis.faults import FAULTS
from support.redis.proxy import ReplyDroppingProxy
from support.redis.replies import forms
from support.redis.server import RedisServer
from support.store.work import assert_tidy, endpoint, eventually, new_job, submit, until_final


@pytest.mark.parametrize("word", ["BUSY", "NOAUTH", "NOREPLICAS", "SURPRISE"])
async def test_a_server_error_while_jobs_end_costs_no_run(
    redis_url: str, redis_proxy: ReplyDroppingProxy, word: str
) -> None:
    started: list[str] = []

    async def work(body: None, job: JobContext) -> str:
        started.append(job.id)
        return "done"

    resource = endpoint()
    own, store = (RedisStore(url, resource.key) for url in (redis_url, redis_proxy.url))
    await own.open()
    await store.open()
    await own.configure(resource.spec.policy())
    worker = LocalWorker(resource, store, Registry.of([Declaration(HANDLER, "work", work, "m:1")]))
    await worker.start()
    settle = load("settle").sha.encode()
    for reply in forms(word):
        fault = redis_proxy.answer(lambda c: len(c) > 1 and c[1] == settle, reply)
        job_ids = await submit(own, *(new_job("work") for _ in range(6)))
        async with asyncio.timeout(30):
            while fault.count < 2:  # noqa: ASYNC110 - the proxy has no event for each answer
                await asyncio.sleep(0.01)
        redis_proxy.forward()
        jobs = await until_final(own, *job_ids)
        assert {(job.state, job.attempt, job.releases) for job in jobs} == {(State.COMPLETED, 1, 0)}
    assert len(started) == len(set(started)) == 24
    await worker.stop()
    await assert_tidy(own)
    await store.close()
    await own.close()


class Counted(RedisStore):
    """A store that counts the settlements that it refused."""

    refused = 0

    async def settle(self, outcomes: Sequence[Any]) -> Any:
        try:
            return await super().settle(outcomes)
        except StoreUnavailable:
            self.refused += 1
            raise


@pytest.mark.parametrize("word", ["BUSY", "NOAUTH", "READONLY", "NOREPLICAS"])
@pytest.mark.parametrize("name", NAMES)
async def test_jobs_that_end_during_an_error_of_the_server_run_once(name: str, word: str) -> None:
    started: list[str] = []
    end = asyncio.Event()

    async def work(body: None, job: JobContext) -> str:
        started.append(job.id)
        await end.wait()
        return "done"

    resource = endpoint(worker={"handlers": "jobs", "concurrency": 60})
    with RedisServer(server=name) as server, Redis.from_url(server.url) as client:
        store = Counted(lambda: server.url, resource.key)
        await store.open()
        await store.configure(resource.spec.policy())
        registry = Registry.of([Declaration(HANDLER, "work", work, "m:1")])
        worker = LocalWorker(resource, store, registry)
        await worker.start()
        job_ids = await submit(store, *(new_job("work") for _ in range(60)))
        await eventually(lambda: len(started) == 60)
        recover = await asyncio.to_thread(FAULTS[word], server, client)
        end.set()
        await eventually(lambda: store.refused >= 2)
        recover()
        jobs = await until_final(store, *job_ids)
        assert {(job.state, job.attempt, job.releases) for job in jobs} == {(State.COMPLETED, 1, 0)}
        assert len(started) == len(set(started)) == 60
        await worker.stop()
        await assert_tidy(store)
        await store.close()
