"""Jobs that handlers enqueue, from `job.enqueue` to the store, in a worker of this process."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pydantic import BaseModel, Field

from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import (
    MAX_CHILDREN,
    Claim,
    Outcome,
    Priority,
    Result,
    complete,
)
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.replies import Settled
from asyncendpoints_worker import JobContext
from asyncendpoints_worker.engine.settler import _size_with_children
from support.store.stores import new
from support.store.work import assert_tidy, new_job, submit, until_final
from support.worker.local import FaultyStore, registry, working


def job_id(text: str) -> ids.JobId:
    found = ids.parse(text)
    assert found is not None
    return found


async def nothing() -> None: ...


async def total(store: MemoryStore, counter: str, count: int) -> None:
    """Wait until a counter of the store has reached `count`."""
    async with asyncio.timeout(30), store.events() as events:
        while (await store.stats()).totals[counter] < count:
            await anext(events)


async def test_what_a_handler_enqueues_runs_as_its_child() -> None:
    def work(body: int, job: JobContext) -> list[str]:
        with_all = job.enqueue(
            "step",
            {"n": body},
            delay=0.001,
            priority="high",
            key="acme",
            tags=["a", "b", "a"],
            content_type="application/vnd.step+json",
        )
        return [with_all, job.enqueue("step", "text"), job.enqueue("step")]

    seen: dict[str, Any] = {}

    async def step(body: bytes | None, job: JobContext) -> None:
        seen[job.id] = (body, job.content_type, job.parent, job.key, job.tags, job.traceparent)

    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with working(registry(work=work, step=step)) as (store, _):
        parent = new_job("work", b"7", headers={"traceparent": trace})
        await until_final(store, *await submit(store, parent))
        [(_, result)] = [await store.result(parent.id)]
        assert result is not None
        children = [part.strip('"') for part in result.body.decode().strip("[]").split(",")]
        jobs = await until_final(store, *map(job_id, children))
        assert {(job.state, job.name, job.max_attempts) for job in jobs} == {
            (State.COMPLETED, "step", 4)
        }
        assert [job.priority for job in jobs] == [Priority.HIGH, Priority.NORMAL, Priority.NORMAL]
        text = ids.text(parent.id)
        first, second, third = (seen[one] for one in children)
        assert first == (
            b'{"n":7}', "application/vnd.step+json", text, "acme", ("a", "b"), trace,
        )  # fmt: skip
        assert second == (b"text", "text/plain; charset=utf-8", text, "", (), trace)
        assert third == (None, "", text, "", (), trace)
        assert {job.attributes.parent for job in jobs} == {parent.id}


async def test_an_attempt_that_does_not_complete_enqueues_nothing() -> None:
    enqueued: list[tuple[str, int, str]] = []

    def work(body: Any, job: JobContext) -> object:
        enqueued.append((job.id, job.attempt, job.enqueue("step", job.attempt)))
        if job.attempt < 3:
            raise ValueError("again")
        return object() if body else None  # that is no result

    async with working(registry(work=work, step=nothing)) as (store, _):
        jobs = await until_final(
            store, *await submit(store, new_job("work"), new_job("work", b"1"))
        )
        assert [(job.state, job.attempt) for job in jobs] == [
            (State.COMPLETED, 3),
            (State.FAILED, 3),
        ]
        assert len({child for _, _, child in enqueued}) == 6
        found = await store.get([job_id(child) for _, _, child in enqueued])
        created = [
            (of, attempt)
            for (of, attempt, _), one in zip(enqueued, found, strict=True)
            if one.job is not None
        ]
        assert created == [(ids.text(jobs[0].id), 3)]


@pytest.mark.parametrize("threaded", [False, True])
async def test_what_is_enqueued_after_the_end_is_an_error(threaded: bool) -> None:
    ended = asyncio.Event()
    caught: list[BaseException] = []
    loop = asyncio.get_running_loop()
    kept: list[JobContext] = []

    def late() -> None:
        try:
            kept[0].enqueue("work")
        except RuntimeError as error:
            caught.append(error)
        loop.call_soon_threadsafe(ended.set)

    def work(body: Any, job: JobContext) -> None:
        kept.append(job)

    async with working(registry(work=work)) as (store, _):
        await until_final(store, *await submit(store, new_job("work")))
        if threaded:
            threading.Thread(target=late).start()
        else:
            late()
        await asyncio.wait_for(ended.wait(), 20)
        assert "the attempt has ended" in str(caught[0])
        assert (await store.stats()).totals["created"] == 1


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda job: job.enqueue("wrok"), ValueError, 'has no job "wrok", only: step, work'),
        (lambda job: job.enqueue(""), ValueError, "'' is not the name of a job"),
        (lambda job: job.enqueue(7), ValueError, "7 is not the name of a job"),
        (lambda job: job.enqueue("a b"), ValueError, "'a b' is not the name of a job"),
        (lambda job: job.enqueue("step", delay=-1), ValueError, "delay must be between 0 and"),
        (lambda job: job.enqueue("step", delay="5"), ValueError, "delay must be a number"),
        (lambda job: job.enqueue("step", delay=True), ValueError, "delay must be a number"),
        (lambda job: job.enqueue("step", delay=10**400), ValueError, "delay must be between 0 and"),
        (lambda job: job.enqueue("step", delay=float("nan")), ValueError, "delay must be a num"),
        (lambda job: job.enqueue("step", priority="urgent"), ValueError, "high, normal or low"),
        (lambda job: job.enqueue("step", priority=1), ValueError, "high, normal or low"),
        (lambda job: job.enqueue("step", key="x" * 65), ValueError, "1 to 64 bytes"),
        (lambda job: job.enqueue("step", key="ä" * 33), ValueError, "1 to 64 bytes"),
        (lambda job: job.enqueue("step", key="a\nb"), ValueError, "no control characters"),
        (lambda job: job.enqueue("step", key=7), TypeError, "key must be text, not int"),
        (lambda job: job.enqueue("step", tags="blue"), TypeError, r"tags=\['blue'\]"),
        (lambda job: job.enqueue("step", tags=None), TypeError, "tags must be a list, such as"),
        (lambda job: job.enqueue("step", tags=7), TypeError, "such as .*, not 7"),
        (lambda job: job.enqueue("step", tags=[["a"]]), ValueError, "tags must be at most 10"),
        (lambda job: job.enqueue("step", key="\ud800"), ValueError, "key has a lone surrogate"),
        (lambda job: job.enqueue("step", "\ud800"), ValueError, "body has a lone surrogate"),
        (lambda job: job.enqueue("step", tags=["a b"]), ValueError, "tags must be at most 10"),
        (lambda job: job.enqueue("step", tags=map(str, range(11))), ValueError, "at most 10"),
        (lambda job: job.enqueue("step", float("inf")), ValueError, "NaN or infinity"),
        (lambda job: job.enqueue("step", object()), TypeError, "type object cannot be JSON"),
        (lambda job: job.enqueue("step", content_type="ä"), ValueError, "printable ASCII"),
        (lambda job: job.enqueue("step", content_type=""), ValueError, "printable ASCII"),
        (lambda job: job.enqueue("step", b"x" * 1_048_577), ValueError, "1048576 bytes in all"),
    ],
)
async def test_what_cannot_be_enqueued_is_an_error_at_the_call(
    call: Callable[[JobContext], str], error: type[Exception], text: str
) -> None:
    def work(body: Any, job: JobContext) -> None:
        with pytest.raises(error, match=text):
            call(job)

    async with working(registry(work=work, step=work)) as (store, _):
        [job] = await until_final(store, *await submit(store, new_job("work")))
        assert (job.state, job.error) == (State.COMPLETED, None)
        assert (await store.stats()).totals["created"] == 1


async def test_an_attempt_may_enqueue_so_many_jobs_and_bytes() -> None:
    def many(body: Any, job: JobContext) -> None:
        for _ in range(MAX_CHILDREN):
            job.enqueue("step")
        with pytest.raises(ValueError, match="at most 100 jobs"):
            job.enqueue("step")

    def large(body: Any, job: JobContext) -> None:
        job.enqueue("step", b"x" * 1_000_000)
        with pytest.raises(ValueError, match="with this one they have 1048577"):
            job.enqueue("step", b"x" * 48_577)
        job.enqueue("step", b"x" * 48_576)

    async with working(registry(many=many, large=large, step=nothing)) as (store, _):
        jobs = await until_final(store, *await submit(store, new_job("many"), new_job("large")))
        assert {job.state for job in jobs} == {State.COMPLETED}
        assert (await store.stats()).totals["created"] == 2 + 100 + 2


class Named(BaseModel):
    first: int = Field(alias="First")


async def test_a_model_is_sent_by_alias() -> None:
    def work(body: Any, job: JobContext) -> str:
        return job.enqueue("step", Named(First=7))

    async def step(body: Named) -> int:
        return body.first

    async with working(registry(work=work, step=step)) as (store, _):
        [parent] = await until_final(store, *await submit(store, new_job("work")))
        _, result = await store.result(parent.id)
        assert result is not None
        child = job_id(result.body.decode())
        await until_final(store, child)
        assert (await store.result(child))[1] == Result("application/json", b"7")


async def test_a_refused_attempt_fails_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def work(body: Any, job: JobContext) -> None:
        job.enqueue("work")
        job.enqueue("work")

    async with working(registry(work=work), queue={"maxDepth": 1}) as (store, worker):
        [job] = await until_final(store, *await submit(store, new_job("work")))
        assert job.state is State.COMPLETED
        await total(store, "failed", 1)
        await worker.stop(10)
    assert "a job failed: it enqueued too many" in caplog.text


async def test_a_lost_reply_creates_the_children_once() -> None:
    def work(body: Any, job: JobContext) -> None:
        job.enqueue("step")

    store = FaultyStore()
    store.lose_settles = 2
    async with working(registry(work=work, step=nothing), store) as (_, worker):
        await until_final(store, *await submit(store, *(new_job("work") for _ in range(3))))
        await total(store, "completed", 6)
        await worker.stop(30)
        assert (await store.stats()).totals["created"] == 6
        await assert_tidy(store)


class FullStore(MemoryStore):
    """A store whose memory is full, until the gate opens."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.refused = asyncio.Event()

    async def settle(self, outcomes: Sequence[Outcome]) -> list[Settled]:
        if any(outcome.children for outcome in outcomes) and not self.gate.is_set():
            self.refused.set()
            raise StoreUnavailable("the memory is full")
        return await super().settle(outcomes)


async def test_while_memory_is_full_outcomes_with_children_keep_their_slots() -> None:
    def parent(body: Any, job: JobContext) -> None:
        job.enqueue("step")

    store = FullStore()
    async with working(registry(parent=parent, step=nothing), store, concurrency=2) as (_, worker):
        [waiting] = await submit(store, new_job("parent"))
        await asyncio.wait_for(store.refused.wait(), 20)
        # The other slot goes on.
        await until_final(store, *await submit(store, *(new_job("step") for _ in range(20))))
        [held] = await store.get([waiting])
        assert held.job is not None
        assert (held.job.state, worker.held) == (State.IN_PROGRESS, 1)
        store.gate.set()
        await until_final(store, waiting)
        await total(store, "completed", 22)
        await assert_tidy(store)


def test_a_call_has_so_many_jobs_and_bytes() -> None:
    claim = Claim(new().id, 1, "w")
    few = complete(claim, Result("text/plain", b""), (new(body=b""),))
    many = complete(claim, Result("text/plain", b""), tuple(new(body=b"") for _ in range(100)))
    large = complete(claim, Result("text/plain", b"x" * 500_000), (new(body=b"x" * 500_000),))
    full = 1_048_576
    assert full // _size_with_children(few) == 249  # of two each: at most 500
    assert full // _size_with_children(many) == 4
    assert _size_with_children(large) == 1_000_000
