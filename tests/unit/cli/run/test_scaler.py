"""The scaler and the pool of workers inside one process, on a real memory store."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from asyncendpoints_cli.run.pool import LocalPool
from asyncendpoints_cli.run.scaler import MIN_WORKERS, Scaler, why_nothing_runs
from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import NewJob, Request
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.process.settings import Settings
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.scaling.decide import Decision, Limits, Reason
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_worker.handlers.registry import Declaration, Registry

NOW = 1_700_000_000_000


def endpoint(**spec: object) -> AsyncEndpoint:
    document = {
        "apiVersion": "asyncendpoints.io/v1alpha1",
        "kind": "AsyncEndpoint",
        "metadata": {"name": "reports"},
        "spec": {
            "routes": [{"path": "/r", "job": "work"}],
            "worker": {"handlers": "jobs", "concurrency": 2},
            **spec,
        },
    }
    return AsyncEndpoint.parse(document)


class Gate:
    """A handler that waits until it is let go."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.running = 0
        self._changed = asyncio.Condition()

    async def work(self) -> None:
        async with self._changed:
            self.running += 1
            self._changed.notify_all()
        await self.open.wait()
        self.running -= 1

    async def reached(self, count: int) -> None:
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: self.running == count)


@pytest.fixture
async def gate() -> Gate:
    return Gate()


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    memory = MemoryStore()
    await memory.open()
    yield memory
    await memory.close()


@pytest.fixture
async def pool(store: MemoryStore, gate: Gate) -> AsyncIterator[LocalPool]:
    declared = Declaration("handler", "work", gate.work, "here")
    refusals: list[UsageError] = []
    made = LocalPool(endpoint(), store, Registry.of([declared]), Settings(), refusals.append)
    yield made
    gate.open.set()
    assert await made.stop(5.0) == 0
    assert refusals == []


async def submit(store: MemoryStore, count: int) -> None:
    request = Request("POST", "/r")
    await store.enqueue([NewJob(ids.new(NOW), "work", request, 1) for _ in range(count)])


async def until(scaler: Scaler, reached: object, seconds: float = 20.0) -> Decision:
    """Step until `reached(decision)`; workers need a moment between two steps."""
    async with asyncio.timeout(seconds):
        while True:
            decision = await scaler.step()
            if reached(decision):  # type: ignore[operator]
                return decision
            await asyncio.sleep(0.02)


async def test_more_work_brings_workers_and_less_takes_idle_ones_away(
    store: MemoryStore, pool: LocalPool, gate: Gate
) -> None:
    limits = Limits(min_replicas=1, max_replicas=3, idle_ms=300)
    scaler = Scaler("reports", store, pool, limits)
    assert (await scaler.step()).replicas == 1
    await submit(store, 12)
    await until(scaler, lambda _: pool.size == 3 and gate.running == 6)
    gate.open.set()
    down = await until(scaler, lambda _: pool.size == 1)
    assert down.reason is Reason.DOWN
    stats = await store.stats()
    assert stats.counts[State.COMPLETED] == 12
    assert stats.totals["released"] == 0


async def test_a_busy_worker_is_cordoned_and_waited_for(
    store: MemoryStore, pool: LocalPool, gate: Gate
) -> None:
    await until(Scaler("reports", store, pool, Limits(pinned=2)), lambda _: pool.size == 2)
    await submit(store, 4)
    await gate.reached(4)
    scaler = Scaler("reports", store, pool, Limits(pinned=1))
    waiting = await scaler.step()
    assert (waiting.replicas, waiting.target) == (2, 1)
    states = await store.workers()
    assert sum(state.cordoned_until_ms > 0 for state in states) == 1
    gate.open.set()
    await until(scaler, lambda _: pool.size == 1)
    assert (await store.stats()).counts[State.COMPLETED] == 4


async def test_an_unreachable_store_changes_nothing(store: MemoryStore, pool: LocalPool) -> None:
    scaler = Scaler("reports", store, pool, Limits(min_replicas=2))
    await scaler.step()
    await store.close()
    decision = await scaler.step()
    assert (decision.replicas, decision.reason) == (2, Reason.ERROR)
    await store.open()


def test_one_worker_stays_on_a_laptop_unless_pinned_to_zero() -> None:
    spec = endpoint().spec
    assert (spec.autoscaling.min_replicas, Limits.of(spec, at_least=MIN_WORKERS).min_replicas) == (
        0,
        1,
    )
    assert why_nothing_runs(spec) == ""
    assert Limits.of(endpoint(replicas=0).spec).pinned == 0
    assert "spec.replicas is 0" in why_nothing_runs(endpoint(replicas=0).spec)
    assert Limits.of(endpoint(suspend=True).spec).suspend
    assert "spec.suspend is true" in why_nothing_runs(endpoint(suspend=True).spec)


async def test_only_the_first_worker_is_refused_for_its_start_up(
    store: MemoryStore, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    fails, called, refused = True, asyncio.Condition(), asyncio.Queue[UsageError]()
    calls = 0

    async def connect() -> None:
        nonlocal calls
        async with called:
            calls += 1
            called.notify_all()
        if fails:
            raise ConnectionError("no database")

    async def reached(count: int) -> None:
        async with asyncio.timeout(20), called:
            await called.wait_for(lambda: calls == count)

    declared = [
        Declaration("handler", "work", gate.work, "here"),
        Declaration("startup", "", connect, "here"),
    ]
    registry = Registry.of(declared)
    first = LocalPool(endpoint(), store, registry, Settings(), refused.put_nowait)
    await first.resize(1, ())
    error = await asyncio.wait_for(refused.get(), 20)
    assert "test_scaler failed: ConnectionError: no database (" in str(error)
    await first.stop(0.0)

    fails = False
    second = LocalPool(endpoint(), store, registry, Settings(), refused.put_nowait)
    await second.resize(1, ())
    await reached(2)
    fails = True
    await second.resize(2, ())
    await reached(4)  # tried again after a pause, though it failed
    assert refused.empty()
    assert "worker-2 did not start: worker.handlers: @on_startup" in caplog.text
    assert "Traceback" not in caplog.text
    gate.open.set()
    assert await second.stop(5.0) == 0
