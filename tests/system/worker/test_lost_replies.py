"""Every reply that a worker can lose is lost once: no job is stranded, none runs twice."""

from collections.abc import Callable

import pytest

from asyncendpoints import JobContext
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_core.store.redis.scripts import load
from asyncendpoints_worker.handlers.registry import HANDLER, Declaration, Registry
from asyncendpoints_worker.local import LocalWorker
from support.redis.proxy import Command, ReplyDroppingProxy
from support.store.work import assert_tidy, endpoint, new_job, submit, until_final


def runs(verb: str) -> Callable[[Command], bool]:
    sha = load(verb).sha.encode()
    return lambda command: len(command) > 1 and command[1] == sha


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("verb", ["register", "claim", "settle", "heartbeat", "wait", "progress"])
async def test_a_lost_reply_costs_no_run(
    redis_url: str, redis_proxy: ReplyDroppingProxy, verb: str, k: int
) -> None:
    started: list[str] = []

    async def work(body: None, job: JobContext) -> str:
        started.append(job.id)
        job.progress(0.5)
        return "done"

    resource = endpoint()
    own, store = (RedisStore(url, resource.key) for url in (redis_url, redis_proxy.url))
    await own.open()
    await store.open()
    await own.configure(resource.spec.policy())
    fault = redis_proxy.drop_reply(runs(verb), k)
    worker = LocalWorker(resource, store, Registry.of([Declaration(HANDLER, "work", work, "m:1")]))
    await worker.start()
    for _ in range(3):
        job_ids = await submit(own, *(new_job("work") for _ in range(6)))
        jobs = await until_final(own, *job_ids)
        assert {(job.state, job.attempt, job.releases) for job in jobs} == {(State.COMPLETED, 1, 0)}
    assert len(started) == len(set(started)) == 18
    if verb in ("claim", "settle"):
        assert fault.happened.is_set()
    await worker.stop()
    await assert_tidy(own)
    assert await own.workers() == []
    await store.close()
    await own.close()
