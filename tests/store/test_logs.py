"""The logs of jobs: what is kept of them, who may write, and when they are gone."""

from collections.abc import Sequence

import pytest

from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.records import Claim, ClaimedJob
from asyncendpoints_core.store.job_logs import MAX_ATTEMPTS, AttemptLog, LogWrite
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.record_layout import LOG
from asyncendpoints_core.store.replies import Cause
from support.store.stores import DONE, ERROR, Backend, hand, new, put

LIMIT, BUDGET = 100, 10_000


async def write(
    store: Store, *writes: LogWrite, limit: int = LIMIT, budget: int = BUDGET
) -> Sequence[bool]:
    return await store.write_logs(writes, limit=limit, budget=budget)


def line(
    job: ClaimedJob | Claim, text: str, position: int = 0, *, unless_completed: bool = False
) -> LogWrite:
    claim, attempt = (job, 1) if isinstance(job, Claim) else (job.claim, job.job.attempt)
    return LogWrite(claim, attempt, position, text.encode(), unless_completed)


async def one_running(store: Store) -> ClaimedJob:
    await put(store, new())
    return await (await hand(store)).one()


async def test_lines_are_added_to_the_log_of_their_attempt(backend: Backend) -> None:
    store = backend.store
    job = await one_running(store)
    assert await store.read_logs(job.job.id) == ()
    assert await write(store, line(job, "one\n")) == [True]
    assert await write(store, line(job, "two\nthrée\n", 4)) == [True]
    number = job.claim.number
    assert await store.read_logs(job.job.id) == (AttemptLog(1, number, "one\ntwo\nthrée\n", 15),)
    await store.settle([jobs.retry_later(job.claim, ERROR, 0)])
    again = await (await hand(store, "w2")).one()
    await write(store, line(again, "four\n"))
    first, second = await store.read_logs(job.job.id)
    assert (first.attempt, second.attempt, second.text) == (1, 2, "four\n")


async def test_what_is_sent_again_is_added_once(backend: Backend) -> None:
    job = await one_running(backend.store)
    await write(backend.store, line(job, "one\n"))
    await write(backend.store, line(job, "one\n"))
    # Its answer was lost, and it is sent with what has come since.
    await write(backend.store, line(job, "one\ntwo\n"))
    [log] = await backend.store.read_logs(job.job.id)
    assert (log.text, log.written, log.cut) == ("one\ntwo\n", 8, False)


async def test_an_attempt_keeps_its_last_lines_whole(backend: Backend) -> None:
    job = await one_running(backend.store)
    for number in range(40):
        await write(backend.store, line(job, f"line {number:4}\n", 10 * number))
        for log in await backend.store.read_logs(job.job.id):
            assert len(log.text) <= LIMIT
    [log] = await backend.store.read_logs(job.job.id)
    lines = [f"line {number:4}\n" for number in range(30, 40)]
    assert (log.text, log.written, log.cut) == ("".join(lines), 400, True)


async def test_only_the_claim_that_holds_or_ended_the_job_may_write(backend: Backend) -> None:
    store = backend.store
    job = await one_running(store)
    other = Claim(job.job.id, job.claim.number, "w9")
    old = Claim(job.job.id, job.claim.number - 1, job.claim.worker)
    waiting = new()
    await put(store, waiting)
    never = Claim(waiting.id, 1, "w1")
    unknown = Claim(new().id, 1, "w1")
    refused = [line(claim, "no\n") for claim in (other, old, never, unknown)]
    assert await write(store, *refused, line(job, "yes\n")) == [False] * 4 + [True]
    await store.settle([jobs.fail(job.claim, ERROR)])
    assert await write(store, line(job, "the end\n", 4)) == [True]
    await store.redrive([job.job.id])
    taken = await (await hand(store, "w2")).take()
    assert {each.job.id for each in taken} == {job.job.id, waiting.id}
    assert await write(store, line(job, "too late\n", 12)) == [False]
    [log] = await store.read_logs(job.job.id)
    assert log.text == "yes\nthe end\n"


async def test_a_completed_attempt_is_forgotten_if_only_failures_are_kept(backend: Backend) -> None:
    store = backend.store
    job = await one_running(store)
    await write(store, line(job, "before\n"))
    await store.settle([jobs.retry_later(job.claim, ERROR, 0)])
    second = await (await hand(store, "w2")).one()
    await write(store, line(second, "work\n"))
    # Not yet completed: nothing is forgotten.
    await write(store, line(second, "more\n", 5, unless_completed=True))
    await store.settle([jobs.complete(second.claim, DONE)])
    assert await write(store, line(second, "end\n", 10, unless_completed=True)) == [True]
    assert await write(store, line(second, "end\n", 10, unless_completed=True)) == [True]
    [log] = await store.read_logs(job.job.id)
    assert (log.attempt, log.text) == (1, "before\n")


async def test_a_failed_attempt_keeps_its_end(backend: Backend) -> None:
    job = await one_running(backend.store)
    await backend.store.settle([jobs.fail(job.claim, ERROR)])
    await write(backend.store, line(job, "end\n", unless_completed=True))
    assert [log.text for log in await backend.store.read_logs(job.job.id)] == ["end\n"]
    await write(backend.store, line(job, "", 4, unless_completed=True))
    assert [log.text for log in await backend.store.read_logs(job.job.id)] == ["end\n"]


async def test_a_job_keeps_the_logs_of_its_newest_attempts(backend: Backend) -> None:
    store = backend.store
    [job_id] = await put(store, new(max_attempts=20))
    for number in range(1, MAX_ATTEMPTS + 4):
        job = await (await hand(store, f"w{number}")).one()
        await write(store, line(job, f"attempt {number}\n"))
        await store.settle([jobs.retry_later(job.claim, ERROR, 0)])
    logs = await store.read_logs(job_id)
    assert [log.attempt for log in logs] == list(range(4, MAX_ATTEMPTS + 4))


async def test_beyond_the_budget_the_oldest_logs_go(backend: Backend) -> None:
    store = backend.store
    await put(store, *(new() for _ in range(6)))
    taken = await (await hand(store)).take()
    size = LOG.size + 50
    for job in taken:
        await write(store, line(job, "x" * 49 + "\n"), budget=4 * size)
        await backend.advance(1)
    kept = [bool(await store.read_logs(job.job.id)) for job in taken]
    assert kept == [False, False, True, True, True, True]
    # What goes on after that says that its beginning is missing.
    await write(store, line(taken[0], "end\n", 50), budget=4 * size)
    [log] = await store.read_logs(taken[0].job.id)
    assert (log.text, log.written, log.cut) == ("end\n", 54, True)
    assert not await store.read_logs(taken[2].job.id)


async def test_of_logs_of_the_same_moment_those_of_the_oldest_job_go(backend: Backend) -> None:
    store = backend.store
    await put(store, new(), new())
    older, newer = sorted(await (await hand(store)).take(2), key=lambda job: job.job.id)
    size = LOG.size + len("line\n")
    await write(store, line(newer, "line\n"), line(older, "line\n"), budget=2 * size - 1)
    assert await store.read_logs(older.job.id) == ()
    assert await store.read_logs(newer.job.id)


@pytest.mark.parametrize("how", ["delete", "sweep", "purge"])
async def test_logs_are_gone_with_their_job(backend: Backend, how: str) -> None:
    store = backend.store
    await put(store, new(), new())
    worker = await hand(store)
    first, second = await worker.take()
    await write(store, line(first, "one\n"), line(second, "two\n"))
    await store.settle([jobs.complete(first.claim, DONE)])
    if how == "delete":
        await store.delete([first.job.id])
    elif how == "sweep":
        await backend.advance(30 * 86_400_000)
        await store.sweep()
    else:
        await store.close_queue()
        while not await store.purge():
            pass
    assert await store.read_logs(first.job.id) == ()
    assert bool(await store.read_logs(second.job.id)) == (how != "purge")


async def test_a_crash_keeps_what_was_written(backend: Backend) -> None:
    job = await one_running(backend.store)
    await write(backend.store, line(job, "nearly there\n"))
    await backend.store.release_worker("w1", Cause.CRASH)
    [log] = await backend.store.read_logs(job.job.id)
    assert log.text == "nearly there\n"
