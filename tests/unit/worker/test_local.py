"""The engine, run in-process on the memory store."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from asyncendpoints_core.errors import StoreError, StoreUnavailable, UsageError
from asyncendpoints_core.jobs.records import Outcome, OutcomeKind, complete
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.replies import Cause, ClaimBatch, Settled, WorkerInfo
from asyncendpoints_worker import JobContext, PermanentError, Result, RetryAfter
from asyncendpoints_worker.handlers.registry import (
    HANDLER,
    SHUTDOWN,
    STARTUP,
    Declaration,
    Registry,
)
from asyncendpoints_worker.handlers.results import NULL
from asyncendpoints_worker.local import LocalWorker
from support.store.work import (
    assert_tidy,
    endpoint,
    new_job,
    submit,
    until,
    until_final,
    until_running,
)


def registry(**functions: Callable[..., Any]) -> Registry:
    return Registry.of(Declaration(HANDLER, name, f, "m:1") for name, f in functions.items())


@asynccontextmanager
async def working(
    handlers: Registry, store: MemoryStore | None = None, concurrency: int = 4, **spec: Any
) -> AsyncIterator[tuple[MemoryStore, LocalWorker]]:
    store = store or MemoryStore()
    resource = endpoint(**spec)
    await store.open()
    policy = msgspec.structs.replace(resource.spec.policy(), grace_ms=50)
    await store.configure(policy)
    worker = LocalWorker(resource, store, handlers, concurrency=concurrency)
    await worker.start()
    try:
        yield store, worker
    finally:
        await worker.stop(0)
        await store.close()


class Order(BaseModel):
    count: int


async def test_every_kind_of_handler_completes() -> None:
    async def model(order: Order, job: JobContext) -> dict[str, Any]:
        return {"twice": order.count * 2, "attempt": job.attempt}

    def plain(body: str) -> bytes:
        return body.encode() + threading.current_thread().name.encode()[:7]

    def returns_awaitable() -> Any:
        async def later() -> str:
            return "later"

        return later()

    async def nothing() -> None:
        return None

    def file() -> Result:
        return Result(b"a,b", content_type="text/csv", filename="x.csv")

    handlers = registry(
        model=model, plain=plain, awaitable=returns_awaitable, nothing=nothing, file=file
    )
    async with working(handlers) as (store, _):
        names = ("model", "plain", "awaitable", "nothing", "file")
        bodies = (b'{"count": 4}', b"t-", b"", b"", b"")
        job_ids = await submit(store, *map(new_job, names, bodies))
        jobs = await until_final(store, *job_ids)
        assert [job.state for job in jobs] == [State.COMPLETED] * 5
        results = [(await store.result(each))[1] for each in job_ids]
        assert [each.body for each in results if each] == [
            b'{"twice":8,"attempt":1}',
            b"t-handler",
            b"later",
            b"null",
            b"a,b",
        ]
        assert results[4] is not None
        assert (results[4].content_type, results[4].filename) == ("text/csv", "x.csv")


async def test_a_failure_is_retried_and_its_message_shown() -> None:
    attempts: list[int] = []

    async def flaky(body: None, job: JobContext) -> str:
        attempts.append(job.attempt)
        if job.attempt < 3:
            raise ValueError("x" * 1_500)
        return "done"

    async with working(registry(flaky=flaky)) as (store, _):
        (job,) = await until_final(store, *await submit(store, new_job("flaky")))
        assert job.state is State.COMPLETED
        assert attempts == [1, 2, 3]
        first = job.attempts[0]
        assert first.error is not None
        assert (first.error.code, len(first.error.message)) == ("handler-error", 1_000)


async def test_the_budget_ends_in_failed() -> None:
    async def bad() -> None:
        raise RuntimeError("no luck")

    def bad_sync() -> None:
        raise RuntimeError("no luck")

    async with working(registry(bad=bad, bad_sync=bad_sync)) as (store, _):
        jobs = [new_job(name, max_attempts=2) for name in ("bad", "bad_sync")]
        for job in await until_final(store, *await submit(store, *jobs)):
            assert (job.state, job.attempt) == (State.FAILED, 2)
            assert job.error is not None
            assert (job.error.code, job.error.message) == ("handler-error", "no luck")


async def test_permanent_errors_are_not_retried() -> None:
    async def permanent() -> None:
        raise PermanentError("gone for good", code="gone")

    async def model(order: Order) -> None: ...

    async def odd() -> object:
        return object()

    async def large() -> bytes:
        return b"x" * 2_000_000

    async def exits() -> None:
        raise SystemExit(3)

    handlers = registry(permanent=permanent, model=model, odd=odd, large=large, exits=exits)
    async with working(handlers) as (store, _):
        names = ("permanent", "model", "odd", "large")
        job_ids = await submit(store, *(new_job(name, b'{"count": "x"}') for name in names))
        last = await submit(store, new_job("exits", max_attempts=1))
        jobs = await until_final(store, *job_ids, *last)
        assert [job.error.code for job in jobs if job.error] == [
            "gone",
            "invalid-payload",
            "invalid-result",
            "result-too-large",
            "handler-error",
        ]
        assert {job.attempt for job in jobs} == {1}


async def test_retry_after_replaces_the_computed_delay() -> None:
    async def later() -> None:
        raise RetryAfter(3_600)

    async with working(registry(later=later)) as (store, _):
        job_ids = await submit(store, new_job("later"))
        (job,) = await until(store, job_ids, lambda job: job.state is State.SCHEDULED)
        assert 3_590_000 < job.not_before_ms - job.started_ms <= 3_601_000


async def test_a_job_ends_with_any_exception_of_its_handler() -> None:
    async def number() -> None:
        raise PermanentError("teapot", code=418)  # type: ignore[arg-type]

    async def long() -> None:
        raise PermanentError("long", code="a" + "é" * 200)

    async def broken() -> None:
        raise PermanentError("half a pair \ud800", code="no\ud800")

    async def never() -> None:
        raise RetryAfter(float("inf"))

    handlers = registry(number=number, long=long, broken=broken, never=never)
    async with working(handlers) as (store, _):
        names = ("number", "long", "broken", "never")
        job_ids = await submit(store, *(new_job(name, max_attempts=1) for name in names))
        jobs = await until_final(store, *job_ids)
        assert [job.error.code for job in jobs if job.error] == [
            "permanent",
            "a" + "é" * 127,
            "no?",
            "handler-error",
        ]


async def test_a_delay_too_long_for_any_store_is_the_longest_one() -> None:
    async def later() -> None:
        raise RetryAfter(1e300)

    async with working(registry(later=later)) as (store, _):
        job_ids = await submit(store, new_job("later"))
        (job,) = await until(store, job_ids, lambda job: job.state is State.SCHEDULED)
        assert round((job.not_before_ms - job.started_ms) / 1e6) == round(
            RetryAfter.MAX_SECONDS / 1e3
        )


async def test_progress_in_broken_text_is_shown_all_the_same() -> None:
    shown = asyncio.Event()

    async def shows(body: None, job: JobContext) -> None:
        job.progress(0.5, "half a pair \ud800")
        await shown.wait()

    async with working(registry(shows=shows)) as (store, _):
        job_ids = await submit(store, new_job("shows"))
        (job,) = await until(store, job_ids, lambda job: job.progress is not None)
        assert job.progress is not None
        assert job.progress.message == "half a pair ?"
        shown.set()


async def test_cancel_reaches_async_and_plain_handlers() -> None:
    cleaned = threading.Event()
    entered = threading.Semaphore(0)

    async def waits() -> None:
        entered.release()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    def cooperates(body: None, job: JobContext) -> None:
        entered.release()
        while True:
            job.raise_if_canceled()
            threading.Event().wait(0.005)

    async with working(registry(waits=waits, cooperates=cooperates)) as (store, _):
        job_ids = await submit(store, new_job("waits"), new_job("cooperates"))
        await until_running(store, *job_ids)
        for _ in job_ids:
            await asyncio.to_thread(entered.acquire)
        await store.cancel(job_ids)
        jobs = await until_final(store, *job_ids)
        assert [job.state for job in jobs] == [State.CANCELED] * 2
        assert cleaned.is_set()
        await assert_tidy(store)


async def test_the_execution_timeout_ends_an_attempt_and_spends_it() -> None:
    async def slow() -> None:
        await asyncio.Event().wait()

    async with working(registry(slow=slow), timeouts={"executionSeconds": 0.1}) as (store, _):
        (job,) = await until_final(store, *await submit(store, new_job("slow", max_attempts=2)))
        assert (job.state, job.attempt) == (State.FAILED, 2)
        assert job.error is not None
        assert job.error.code == "execution-timeout"


async def test_a_stuck_thread_keeps_its_slot_and_its_job_times_out() -> None:
    free = threading.Event()

    def stuck() -> None:
        free.wait()

    async def quick() -> None: ...

    handlers = registry(stuck=stuck, quick=quick)
    async with working(handlers, timeouts={"executionSeconds": 0.1}) as (store, worker):
        (job,) = await until_final(store, *await submit(store, new_job("stuck", max_attempts=1)))
        assert job.error is not None
        assert job.error.code == "execution-timeout"
        assert worker.held == 1
        await until_final(store, *await submit(store, new_job("quick")))
        free.set()


async def test_a_thread_that_ignores_a_cancel_is_given_up() -> None:
    free = threading.Event()

    def stuck() -> None:
        free.wait()

    async with working(registry(stuck=stuck)) as (store, worker):
        job_ids = await submit(store, new_job("stuck"))
        await until_running(store, *job_ids)
        await store.cancel(job_ids)
        (job,) = await until_final(store, *job_ids)
        assert job.state is State.CANCELED
        assert worker.held == 1
        free.set()


async def test_progress_is_shown_while_the_job_runs() -> None:
    go_on = asyncio.Event()

    async def reports(body: None, job: JobContext) -> None:
        for step in range(1_000):
            job.progress(step / 1_000)
        await job.progress(0.4, "rendering")
        await go_on.wait()

    async with working(registry(reports=reports)) as (store, _):
        job_ids = await submit(store, new_job("reports"))
        (job,) = await until(store, job_ids, lambda job: job.progress is not None)
        assert job.progress is not None
        assert (job.progress.fraction, job.progress.message) == (0.4, "rendering")
        go_on.set()
        (job,) = await until_final(store, *job_ids)
        assert job.state is State.COMPLETED


async def test_the_last_progress_arrives_before_the_outcome() -> None:
    async def reports(body: None, job: JobContext) -> None:
        job.progress(0.9, "almost")

    async with working(registry(reports=reports)) as (store, _):
        (job,) = await until_final(store, *await submit(store, new_job("reports")))
        assert job.progress is not None
        assert job.progress.message == "almost"


async def test_no_more_jobs_run_than_there_are_slots() -> None:
    running, most = 0, 0

    async def counts() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    async with working(registry(counts=counts), concurrency=3) as (store, worker):
        await until_final(store, *await submit(store, *(new_job("counts") for _ in range(50))))
        assert most == 3
        await worker.resize(1)
        most = 0
        await until_final(store, *await submit(store, *(new_job("counts") for _ in range(20))))
        assert most == 1
        await assert_tidy(store)


async def test_a_missing_handler_fails_at_once_where_no_rollout_can_explain_it() -> None:
    async def known() -> None: ...

    async with working(registry(known=known)) as (store, _):
        (job,) = await until_final(store, *await submit(store, new_job("unknown")))
        assert job.error is not None
        assert (job.state, job.error.code) == (State.FAILED, "handler-missing")


async def test_start_up_and_shut_down_functions_run_once_around_the_jobs() -> None:
    calls: list[str] = []

    async def up() -> None:
        calls.append("up")

    def down() -> None:
        calls.append("down")

    async def work() -> None:
        calls.append("work")

    handlers = registry(work=work)
    handlers.add(Declaration(STARTUP, "", up, "m:1"))
    handlers.add(Declaration(SHUTDOWN, "", down, "m:1"))
    async with working(handlers) as (store, _):
        await until_final(store, *await submit(store, new_job("work")))
    assert calls == ["up", "work", "down"]


async def test_stop_lets_running_jobs_finish() -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def work() -> str:
        entered.set()
        await go_on.wait()
        return "finished"

    async with working(registry(work=work), concurrency=1) as (store, worker):
        first, second = await submit(store, new_job("work"), new_job("work"))
        await entered.wait()
        stopping = asyncio.create_task(worker.stop(30))
        await asyncio.sleep(0)
        go_on.set()
        assert await stopping == 0
        done, waiting = await store.get([first, second])
        assert done.job is not None
        assert waiting.job is not None
        assert (done.job.state, waiting.job.state) == (State.COMPLETED, State.QUEUED)
        assert waiting.job.attempt == 0
        assert await store.workers() == []


async def test_what_does_not_finish_in_time_goes_back_uncharged() -> None:
    entered = asyncio.Event()

    async def work() -> None:
        entered.set()
        await asyncio.Event().wait()

    async with working(registry(work=work)) as (store, worker):
        job_ids = await submit(store, new_job("work"))
        await entered.wait()
        await worker.stop(0)
        (found,) = await store.get(job_ids)
        assert found.job is not None
        assert (found.job.state, found.job.attempt) == (State.QUEUED, 0)
        await assert_tidy(store)


class FaultyStore(MemoryStore):
    """Loses replies and refuses outcomes, as told."""

    def __init__(self) -> None:
        super().__init__()
        self.lose_claims = 0
        self.lose_settles = 0
        self.swallow_claims = 0
        self.poison: OutcomeKind | None = None
        self.hold_claim: asyncio.Event | None = None
        self.claim_done = asyncio.Event()
        self.settle_calls = 0

    async def claim(self, worker: str, request: int, limit: int) -> ClaimBatch:
        batch = await super().claim(worker, request, limit)
        if batch.jobs:
            self.claim_done.set()
            if self.hold_claim is not None:
                await self.hold_claim.wait()
            if self.swallow_claims:
                self.swallow_claims -= 1
                return ClaimBatch(())
            if self.lose_claims:
                self.lose_claims -= 1
                raise StoreUnavailable("the reply was lost")
        return batch

    async def settle(self, outcomes: Sequence[Outcome]) -> list[Settled]:
        self.settle_calls += 1
        if any(each.kind is self.poison for each in outcomes):
            raise ValueError("one of these cannot be stored")
        answers = await super().settle(outcomes)
        if self.lose_settles:
            self.lose_settles -= 1
            raise StoreUnavailable("the reply was lost")
        return answers


async def test_a_lost_claim_reply_strands_no_job() -> None:
    runs: list[str] = []

    async def work(body: None, job: JobContext) -> None:
        runs.append(job.id)

    store = FaultyStore()
    store.lose_claims = 3
    async with working(registry(work=work), store) as (_, _worker):
        jobs = await until_final(store, *await submit(store, *(new_job("work") for _ in range(4))))
        assert {job.attempt for job in jobs} == {1}
        assert len(runs) == len(set(runs)) == 4


class HeldStore(MemoryStore):
    """A store that keeps outcomes waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def settle(self, outcomes: Sequence[Outcome]) -> list[Settled]:
        await self.gate.wait()
        return await super().settle(outcomes)


@pytest.mark.parametrize("concurrency", [1, 60])  # of 60, outcomes leave in two groups
async def test_jobs_start_while_the_outcomes_before_them_are_on_their_way(concurrency: int) -> None:
    runs: asyncio.Queue[None] = asyncio.Queue()

    async def work() -> None:
        runs.put_nowait(None)

    store = HeldStore()
    async with working(registry(work=work), store, concurrency=concurrency):
        await submit(store, *(new_job("work") for _ in range(5 * concurrency)))
        for _ in range(2 * concurrency):  # as many outcomes on their way as may run, and no more
            await asyncio.wait_for(runs.get(), 20)
        await asyncio.sleep(0.1)
        assert runs.empty()
        assert (await store.stats()).held == 2 * concurrency
        store.gate.set()
        for _ in range(3 * concurrency):
            await asyncio.wait_for(runs.get(), 20)


async def test_no_more_run_at_a_time_than_may_while_outcomes_are_on_their_way() -> None:
    running, most, ended = 0, 0, 0

    async def work() -> None:
        nonlocal running, most, ended
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.002)
        running -= 1
        ended += 1

    async with working(registry(work=work), concurrency=3) as (store, _):
        await until_final(store, *await submit(store, *(new_job("work") for _ in range(60))))
        assert (most, ended) == (3, 60)


class OddStore(MemoryStore):
    """A store that only the claim behind a wait cannot reach, or that is slow to take outcomes."""

    def __init__(self, fault: Exception | None = None, settle_seconds: float = 0.0) -> None:
        super().__init__()
        self.fault, self.settle_seconds = fault, settle_seconds
        self.waits = self.cut = 0
        self.resting = asyncio.Event()

    async def claim_next(
        self, worker: str, request: int, limit: int, timeout_ms: int
    ) -> ClaimBatch:
        self.waits += 1
        self.resting.set()
        if self.fault is not None:
            raise self.fault
        try:
            return await super().claim_next(worker, request, limit, timeout_ms)
        except asyncio.CancelledError:
            self.cut += 1
            raise

    async def settle(self, outcomes: Sequence[Outcome]) -> list[Settled]:
        await asyncio.sleep(self.settle_seconds)
        return await super().settle(outcomes)


@pytest.mark.parametrize(
    "fault", [StoreUnavailable("gone"), StoreError("upstream failure"), UsageError("no file")]
)
async def test_no_fault_of_the_wait_ends_a_worker_or_lets_it_run_hot(fault: Exception) -> None:
    async def work() -> None:
        return None

    store = OddStore(fault)
    async with working(registry(work=work), store):
        await asyncio.wait_for(store.resting.wait(), 20)
        [job] = await until_final(store, *await submit(store, new_job("work")))
        assert job.state is State.COMPLETED
        await asyncio.sleep(0.3)
        assert store.waits <= 4  # once for each rest of some 0.75 to 1 s


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_a_delivered_outcome_cuts_no_claim_that_waits(concurrency: int) -> None:
    async def work() -> None:
        return None

    store = OddStore(settle_seconds=0.003)
    async with working(registry(work=work), store, concurrency=concurrency):
        for _ in range(10):
            await until_final(store, *await submit(store, new_job("work")))
            await asyncio.sleep(0.01)  # until it rests
        assert store.cut == 0


async def test_news_do_not_open_the_gate() -> None:
    async def work() -> None:
        return None

    async def shut() -> None:
        await asyncio.Event().wait()

    async with working(registry(work=work)) as (store, worker):
        assert worker._engine is not None
        worker._engine._gate = shut
        await worker.resize(3)
        await asyncio.sleep(0.05)  # until it stands at the gate
        [job_id] = await submit(store, new_job("work"))
        await worker.resize(2)
        await asyncio.sleep(0.1)
        [found] = await store.get([job_id])
        assert found.job is not None
        assert found.job.state is State.QUEUED


class MuteStore(MemoryStore):
    """A store whose next claim behind a wait is made, and its answer never comes."""

    def __init__(self) -> None:
        super().__init__()
        self.mute = True
        self.resting, self.claimed = asyncio.Event(), asyncio.Event()

    async def claim_next(
        self, worker: str, request: int, limit: int, timeout_ms: int
    ) -> ClaimBatch:
        self.resting.set()
        batch = await super().claim_next(worker, request, limit, timeout_ms)
        if self.mute and batch.jobs:
            self.claimed.set()
            await asyncio.Event().wait()
        return batch


async def test_an_interrupted_claim_behind_a_wait_is_repeated() -> None:
    async def work() -> None:
        return None

    async with working(registry(work=work), MuteStore()) as (store, worker):
        assert isinstance(store, MuteStore)
        await asyncio.wait_for(store.resting.wait(), 20)
        [job_id] = await submit(store, new_job("work"))
        await asyncio.wait_for(store.claimed.wait(), 20)
        store.mute = False
        await worker.resize(3)  # any news ends the wait
        [job] = await until_final(store, job_id)
        assert (job.state, job.attempt) == (State.COMPLETED, 1)
        assert job.revision == 3  # claimed once: nobody had to give it back first


async def test_a_worker_that_ends_hands_back_at_once_what_a_claim_behind_a_wait_was_given() -> None:
    goes_on = asyncio.Event()

    async def long() -> None:
        await goes_on.wait()

    async def work() -> None:
        return None

    store = MuteStore()
    store.mute = False
    async with working(registry(long=long, work=work), store) as (_, worker):
        await until_running(store, *await submit(store, new_job("long")))
        store.mute = True
        store.resting.clear()
        await asyncio.wait_for(store.resting.wait(), 20)
        [job_id] = await submit(store, new_job("work"))
        await asyncio.wait_for(store.claimed.wait(), 20)
        stopping = asyncio.create_task(worker.stop(30))
        [job] = await until(store, [job_id], lambda job: job.state is State.QUEUED)
        assert (job.attempt, job.releases) == (0, 0)  # no code of the user's saw it
        assert not stopping.done()  # the other job still runs
        goes_on.set()
        assert await asyncio.wait_for(stopping, 20) == 0
        await assert_tidy(store)


async def test_a_lost_settle_reply_is_sent_again_and_counts_once() -> None:
    async def work() -> str:
        return "kept"

    store = FaultyStore()
    store.lose_settles = 2
    async with working(registry(work=work), store) as (_, worker):
        jobs = await until_final(store, *await submit(store, *(new_job("work") for _ in range(3))))
        assert {job.state for job in jobs} == {State.COMPLETED}
        await worker.stop(30)
        assert worker.metrics.snapshot.counters["settle_already"] >= 3
        await assert_tidy(store)


async def test_one_outcome_that_cannot_be_stored_does_not_block_the_others() -> None:
    async def good() -> None: ...

    async def bad() -> None:
        raise ValueError("again")

    store = FaultyStore()
    store.poison = OutcomeKind.RETRY
    async with working(registry(good=good, bad=bad), store, concurrency=20) as (_, _worker):
        names = ["good"] * 6 + ["bad"] + ["good"] * 6
        jobs = await until_final(store, *await submit(store, *map(new_job, names)))
        states = [job.state for job in jobs]
        assert states == [State.COMPLETED] * 6 + [State.FAILED] + [State.COMPLETED] * 6
        await assert_tidy(store)


async def test_what_was_claimed_while_stopping_goes_back_with_its_attempt() -> None:
    async def work() -> None:
        raise AssertionError("never started")

    store = FaultyStore()
    store.hold_claim = asyncio.Event()
    async with working(registry(work=work), store) as (_, worker):
        job_ids = await submit(store, *(new_job("work") for _ in range(3)))
        await store.claim_done.wait()
        stopping = asyncio.create_task(worker.stop(30))
        await asyncio.sleep(0)
        store.hold_claim.set()
        await stopping
        for found in await store.get(job_ids):
            assert found.job is not None
            assert (found.job.state, found.job.attempt) == (State.QUEUED, 0)
            assert found.job.attempts == ()
        await assert_tidy(store)


async def test_a_worker_that_is_gone_abandons_its_jobs_and_begins_anew() -> None:
    runs: list[int] = []
    ended: list[str] = []

    async def work(body: None, job: JobContext) -> str:
        runs.append(job.claim)
        if len(runs) == 1:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("first")
        return "second"

    async with working(registry(work=work)) as (store, worker):
        job_ids = await submit(store, new_job("work"))
        (job,) = await until_running(store, *job_ids)
        old = worker.worker
        await store.release_worker(old, Cause.LOST)
        (job,) = await until_final(store, *job_ids)
        assert (job.state, job.attempt) == (State.COMPLETED, 1)
        assert ended == ["first"]
        assert runs == sorted(set(runs))
        assert len(runs) == 2
        assert worker.worker != old
        await assert_tidy(store)


async def test_jobs_that_never_arrived_are_given_back() -> None:
    async def work() -> None: ...

    store = FaultyStore()
    store.swallow_claims = 1
    async with working(registry(work=work), store) as (_, _worker):
        (job,) = await until_final(store, *await submit(store, new_job("work")))
        assert (job.state, job.attempt) == (State.COMPLETED, 1)
        await assert_tidy(store)


async def test_suspects_run_alone() -> None:
    running, beside = 0, []

    async def work() -> None:
        nonlocal running
        running += 1
        beside.append(running)
        await asyncio.sleep(0.01)
        running -= 1

    store = MemoryStore()
    await store.open()
    await store.configure(endpoint().spec.policy())
    suspects = await submit(store, *(new_job("work") for _ in range(3)))
    await store.register(WorkerInfo("dead", "pod", "nonce", 8))
    assert len((await store.claim("dead", 1, 8)).jobs) == 3
    assert (await store.release_worker("dead", Cause.CRASH)).suspected == 3
    async with working(registry(work=work), store, concurrency=8) as (_, _worker):
        await until_final(store, *suspects)
        assert beside == [1, 1, 1]
        beside.clear()
        await until_final(store, *await submit(store, *(new_job("work") for _ in range(8))))
        assert max(beside) > 1


async def test_a_worker_makes_room_for_a_suspect_and_continues_if_another_took_it() -> None:
    async def waits() -> None:
        entered.set()
        await go_on.wait()

    async def work() -> None: ...

    entered, go_on = asyncio.Event(), asyncio.Event()
    async with working(registry(waits=waits, work=work)) as (store, _):
        long = await submit(store, new_job("waits"))
        await entered.wait()
        await store.pause()
        suspect = await submit(store, new_job("work"))
        await store.register(WorkerInfo("dead", "pod", "nonce", 8))
        await store.resume()
        assert len((await store.claim("dead", 1, 8)).jobs) == 1
        await store.release_worker("dead", Cause.CRASH)
        # The worker holds a job, so it waits to be empty; one that is empty takes the suspect.
        await store.register(WorkerInfo("empty", "pod", "nonce", 8))
        batch = await store.claim("empty", 1, 8)
        assert batch.exclusive
        await store.settle([complete(batch.jobs[0].claim, NULL)])
        await until_final(store, *suspect, *await submit(store, new_job("work")))
        go_on.set()
        await until_final(store, *long)


async def test_a_scheduled_job_is_started_when_due() -> None:
    async def work() -> None: ...

    async with working(registry(work=work)) as (store, _):
        job_ids = await submit(store, new_job("work", delay_ms=150))
        (job,) = await until_final(store, *job_ids)
        assert job.started_ms >= job.created_ms + 150


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt, GeneratorExit])
async def test_a_handler_that_raises_what_ends_programs_fails_only_its_job(
    error: type[BaseException],
) -> None:
    async def raises() -> None:
        raise error

    async def fine() -> None: ...

    async with working(registry(raises=raises, fine=fine)) as (store, _):
        jobs = await until_final(
            store, *await submit(store, new_job("raises", max_attempts=1), new_job("fine"))
        )
        assert [job.state for job in jobs] == [State.FAILED, State.COMPLETED]
