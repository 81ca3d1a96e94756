"""A process that enqueued jobs is killed at every step: they exist if and only if it completed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asyncendpoints_core.jobs.ids import JobId, text
from asyncendpoints_core.jobs.records import Job
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_core.store.redis.scripts import load
from support.redis.proxy import Command, ReplyDroppingProxy
from support.store.work import assert_tidy, eventually, new_job, submit, until_final
from support.worker.process import kill
from support.worker.setup import Setup, Start, setups, until_runs


@pytest.fixture
async def start(redis_url: str, tmp_path: Path) -> AsyncIterator[Start]:
    async with setups(redis_url, tmp_path) as make:
        yield make


def creates(command: Command) -> bool:
    """Whether a command is the script that creates the jobs."""
    shas = {load("settle_with_children", full=full).sha.encode() for full in (False, True)}
    return len(command) > 1 and command[1] in shas


async def children(store: RedisStore, parent: JobId) -> list[Job]:
    page = await store.list(None, 100, None)
    # One that moves while jobs are listed may be there twice, or not at all.
    found = {job.id: job for job in page.jobs if job.attributes.parent == parent}
    return list(found.values())


async def ended(setup: Setup, store: RedisStore, parent: JobId, attempts: int) -> None:
    """Wait for the end of `parent`: it completed, ran so often, and two children did so too."""
    [job] = await until_final(store, parent)
    assert (job.state, job.attempt) == (State.COMPLETED, 1)
    assert sum(run[0] == text(parent) for run in setup.runs()) == attempts

    async def two_have_ended() -> bool:
        states = [job.state for job in await children(store, parent)]
        assert len(states) <= 2
        return states == [State.COMPLETED] * 2

    await eventually(two_have_ended)


async def test_killed_at_every_step(
    start: Start, redis_url: str, redis_proxy: ReplyDroppingProxy
) -> None:
    setup: Setup = await start(redis_proxy.url)
    store = RedisStore(redis_url, setup.endpoint.key)
    await store.open()
    setup.worker()
    # The first use of a feature has to raise the schema, too.
    [first] = await submit(store, new_job("family", setup.body()))
    setup.let_go()
    await ended(setup, store, first, 1)

    # In the handler, after it enqueued.
    Path(setup.file("until")).unlink()
    [parent] = await submit(store, new_job("family", setup.body()))
    child = await until_run(setup, 2)
    kill(child)
    assert await children(store, parent) == []
    setup.let_go()
    await ended(setup, store, parent, 2)

    # With the outcome on its way.
    fault = redis_proxy.drop_request(creates, stall=True)
    [parent] = await submit(store, new_job("family", setup.body()))
    await eventually(fault.happened.is_set)
    kill(await until_run(setup, 4))
    assert await children(store, parent) == []
    await ended(setup, store, parent, 2)

    # After the store took it, before the process knows.
    fault = redis_proxy.drop_reply(creates, stall=True)
    [parent] = await submit(store, new_job("family", setup.body()))
    await eventually(fault.happened.is_set)
    await until_two(store, parent)
    kill(await until_run(setup, 6))
    await ended(setup, store, parent, 1)
    await assert_tidy(store)
    await store.close()


async def until_two(store: RedisStore, parent: JobId) -> None:
    """Wait for a list with both children, which miss it while they move from state to state."""

    async def are_two() -> bool:
        return len(await children(store, parent)) == 2

    await eventually(are_two)


async def until_run(setup: Setup, count: int) -> int:
    """Wait until so many runs have begun; return the process of the last."""
    await until_runs(setup, count)
    return int(setup.runs()[-1][2])
