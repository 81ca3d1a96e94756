"""Requests share calls to the store; one that is cancelled does not disturb the others."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from asyncendpoints_core.common.time_source import ManualClock
from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.store import group_commit as module
from asyncendpoints_core.store.group_commit import MAX_IN_FLIGHT, Batcher
from asyncendpoints_core.store.replies import MAX_BATCH_BYTES


def ignore_size(_: int) -> None: ...


class Calls:
    """A store whose calls end when the test says."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []
        self.gates: list[asyncio.Event] = []
        self.begun = asyncio.Event()
        self.errors: list[Exception | None] = []

    async def __call__(self, items: Sequence[int]) -> list[int]:
        self.seen.append(list(items))
        gate = asyncio.Event()
        self.gates.append(gate)
        self.begun.set()
        await gate.wait()
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        return [item * 10 for item in items]

    async def until(self, count: int) -> None:
        while len(self.seen) < count:
            self.begun.clear()
            await asyncio.wait_for(self.begun.wait(), 5)

    def open(self) -> None:
        for gate in self.gates:
            gate.set()


async def test_items_of_one_moment_share_a_call() -> None:
    calls = Calls()
    batcher: Batcher[int, int] = Batcher(calls, ignore_size)
    answers = asyncio.gather(*(batcher.request(n) for n in range(5)))
    await calls.until(1)
    assert calls.seen == [[0, 1, 2, 3, 4]]
    calls.open()
    assert await answers == [0, 10, 20, 30, 40]


async def test_items_that_arrive_during_a_call_form_the_next_batch() -> None:
    calls = Calls()
    batcher: Batcher[int, int] = Batcher(calls, ignore_size)
    answers = [batcher.request(1)]
    for n in range(MAX_IN_FLIGHT):
        await calls.until(n + 1)
        answers.append(batcher.request(n + 2))
    answers += [batcher.request(8), batcher.request(9)]
    await calls.until(MAX_IN_FLIGHT)
    assert calls.seen == [[1], [2]]
    assert batcher.waiting == 3
    calls.gates[0].set()
    await calls.until(3)
    assert calls.seen[2] == [3, 8, 9]
    calls.open()
    assert await asyncio.gather(*answers) == [10, 20, 30, 80, 90]


async def test_a_call_has_at_most_the_limit_and_the_weight() -> None:
    calls = Calls()
    batcher: Batcher[int, int] = Batcher(calls, ignore_size, weigh=lambda n: n, limit=3)
    answers = [batcher.request(1) for _ in range(7)]
    await calls.until(2)
    calls.open()
    await calls.until(3)
    calls.open()
    await asyncio.gather(*answers)
    assert [len(call) for call in calls.seen] == [3, 3, 1]

    heavy = Calls()
    big = MAX_BATCH_BYTES
    batcher = Batcher(heavy, ignore_size, weigh=lambda n: n)
    answers = [batcher.request(n) for n in (big * 3, 1, big, 1)]
    for count in range(1, 5):
        await heavy.until(count)
        heavy.open()
    await asyncio.gather(*answers)
    assert heavy.seen == [[big * 3], [1], [big], [1]]


async def test_an_item_cancelled_before_its_call_is_not_sent() -> None:
    calls = Calls()
    batcher: Batcher[int, int] = Batcher(calls, ignore_size)
    gone, stays = batcher.request(1), batcher.request(2)
    gone.cancel()
    await calls.until(1)
    assert calls.seen == [[2]]
    calls.open()
    assert await stays == 20


async def test_cancelling_one_waiter_does_not_disturb_the_call() -> None:
    calls = Calls()
    batcher: Batcher[int, int] = Batcher(calls, ignore_size)

    async def client(n: int) -> int:
        return await batcher.request(n)

    gone, stays = (asyncio.create_task(client(n)) for n in (1, 2))
    await calls.until(1)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    calls.open()
    assert await stays == 20
    assert calls.seen == [[1, 2]]


async def test_a_batch_without_items_is_not_sent() -> None:
    calls = Calls()
    batcher: Batcher[int, int] = Batcher(calls, ignore_size)
    for future in [batcher.request(n) for n in range(3)]:
        future.cancel()
    await batcher.drained()
    assert calls.seen == []
    stays = batcher.request(1)
    await calls.until(1)
    calls.open()
    assert await stays == 10


async def test_a_lost_reply_is_sent_again_and_then_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "RESEND_SECONDS", (0.0, 0.0))

    async def ask(losses: int) -> tuple[Any, list[list[int]]]:
        calls = Calls()
        calls.errors = [StoreUnavailable("lost")] * losses
        batcher: Batcher[int, int] = Batcher(calls, ignore_size)
        answer = asyncio.gather(batcher.request(1), return_exceptions=True)
        for count in range(min(losses, 2) + 1):
            await calls.until(count + 1)
            calls.open()
        return (await answer)[0], calls.seen

    assert await ask(0) == (10, [[1]])
    assert await ask(2) == (10, [[1]] * 3)
    error, seen = await ask(3)
    assert isinstance(error, StoreUnavailable)
    assert seen == [[1]] * 3


async def test_a_store_that_does_not_answer_is_waited_for_once() -> None:
    calls, clock = Calls(), ManualClock()
    calls.errors = [StoreUnavailable("no answer in time")] * MAX_IN_FLIGHT
    batcher: Batcher[int, int] = Batcher(calls, ignore_size, time=clock)
    waiting = []
    for n in range(MAX_IN_FLIGHT + 5):
        waiting.append(batcher.request(n))
        await calls.until(min(n + 1, MAX_IN_FLIGHT))
    clock.advance(5_000)
    calls.open()
    answers = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
    assert {type(answer) for answer in answers} == {StoreUnavailable}
    assert len(calls.seen) == MAX_IN_FLIGHT  # neither repeated nor followed by another
    answer = batcher.request(9)
    await calls.until(MAX_IN_FLIGHT + 1)
    calls.open()
    assert await answer == 90


async def test_the_pause_before_a_resend_is_on_the_clock() -> None:
    calls, clock = Calls(), ManualClock()
    calls.errors = [StoreUnavailable("lost")]
    batcher: Batcher[int, int] = Batcher(calls, ignore_size, time=clock)
    answer = batcher.request(1)
    await calls.until(1)
    calls.open()
    while not clock.waiting:  # noqa: ASYNC110 - the batcher has no event for it
        await asyncio.sleep(0)
    assert len(calls.seen) == 1
    clock.advance(module.RESEND_SECONDS[0] * 1000)
    await calls.until(2)
    calls.open()
    assert await answer == 10


async def test_an_internal_error_reaches_every_waiter_and_is_not_repeated() -> None:
    calls = Calls()
    calls.errors = [ValueError("internal error")]
    batcher: Batcher[int, int] = Batcher(calls, ignore_size)
    answers = asyncio.gather(*(batcher.request(n) for n in (1, 2)), return_exceptions=True)
    await calls.until(1)
    calls.open()
    assert [type(answer) for answer in await answers] == [ValueError, ValueError]
    assert len(calls.seen) == 1


async def test_items_beyond_the_queue_limit_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_QUEUED", 2)
    batcher: Batcher[int, int] = Batcher(Calls(), ignore_size)
    kept = [batcher.request(1), batcher.request(2)]
    with pytest.raises(StoreUnavailable):
        await batcher.request(3)
    for future in kept:
        future.cancel()


async def test_drained_waits_for_every_call() -> None:
    calls = Calls()
    batcher: Batcher[int, int] = Batcher(calls, ignore_size)
    answer = batcher.request(1)
    await calls.until(1)
    drained = asyncio.create_task(batcher.drained())
    await asyncio.sleep(0)
    assert not drained.done()
    calls.open()
    await asyncio.wait_for(drained, 5)
    assert answer.done()
