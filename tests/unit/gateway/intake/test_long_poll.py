"""Waiting for jobs to change: no change between reading and subscribing is missed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asyncendpoints_core.common.time_source import ManualClock
from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import Job, Priority
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.replies import Event, Found
from asyncendpoints_gateway.intake.long_poll import (
    CLIENT_CHECK_SECONDS,
    LINGER_SECONDS,
    RECONNECT_SECONDS,
    RESYNC_SECONDS,
    Hub,
)
from support.http.gateway import entrance

NOW = 1_790_000_000_000


def _job(state: State = State.QUEUED, revision: int = 1, job_id: JobId | None = None) -> Job:
    return Job(
        job_id or ids.new(NOW),
        "build",
        state,
        Priority.NORMAL,
        *(0, 4, 0, 0, 0, "", revision, NOW, NOW),
    )


class Watched:
    """A store with one job, whose events are those that the test sends; and a clock."""

    def __init__(self) -> None:
        self.job = _job()
        self.clock = ManualClock()
        self.queue: asyncio.Queue[Event | Exception] = asyncio.Queue()
        self.opened = 0
        self.reads = 0
        self.moved = asyncio.Condition()

    async def get(self, _: JobId) -> Found:
        self.reads += 1
        await self._move()
        return Found(self.job)

    async def _move(self) -> None:
        async with self.moved:
            self.moved.notify_all()

    async def until_read(self, count: int) -> None:
        async with asyncio.timeout(5), self.moved:
            await self.moved.wait_for(lambda: self.reads >= count)

    async def until_opened(self, count: int) -> None:
        async with asyncio.timeout(5), self.moved:
            await self.moved.wait_for(lambda: self.opened >= count)

    def change(self, state: State) -> None:
        self.job = _job(state, self.job.revision + 1, self.job.id)

    @asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncIterator[Event]]:
        self.opened += 1
        await self._move()

        async def each() -> AsyncIterator[Event]:
            yield Event(None)
            while True:
                event = await self.queue.get()
                if isinstance(event, Exception):
                    raise event
                yield event

        yield each()


def _hub(limit: int = 10) -> tuple[Hub, Watched]:
    watched = Watched()
    hub = Hub(
        watched,  # type: ignore[arg-type]  # all it uses
        watched.get,
        limit,
        watched.clock,
    )
    return hub, watched


async def settle() -> None:
    """Let every task that is ready run."""
    for _ in range(20):
        await asyncio.sleep(0)


async def until_timers(clock: ManualClock, count: int) -> None:
    """Wait until so many timers of the clock are set."""
    for _ in range(1_000):
        if clock.waiting >= count:
            return
        await asyncio.sleep(0)
    raise AssertionError(f"{clock.waiting} timers are set, not {count}")


def _final(found: Found) -> bool:
    return found.job is not None and found.job.final


def _wait(hub: Hub, watched: Watched) -> "asyncio.Task[tuple[Found, bool]]":
    return asyncio.create_task(hub.wait(watched.job.id, 60, _final, lambda: False))


async def test_a_change_between_reading_and_watching_is_not_missed() -> None:
    hub, watched = _hub()
    waiting = _wait(hub, watched)
    await watched.until_read(1)
    # There is no event for this change; but a new subscription makes every request read again.
    watched.change(State.COMPLETED)
    found, waited = await asyncio.wait_for(waiting, 5)
    assert waited
    assert _final(found)
    await hub.close()


async def test_an_event_wakes_the_requests_for_its_job() -> None:
    hub, watched = _hub()
    waiting = _wait(hub, watched)
    await watched.until_read(2)
    watched.queue.put_nowait(Event(ids.new(NOW), 2))
    watched.change(State.FAILED)
    watched.queue.put_nowait(Event(watched.job.id, 2))
    found, _ = await asyncio.wait_for(waiting, 5)
    assert _final(found)
    assert watched.reads == 3
    await hub.close()


async def test_after_a_lost_connection_every_request_reads_again() -> None:
    hub, watched = _hub()
    waiting = _wait(hub, watched)
    await watched.until_read(2)
    watched.change(State.CANCELED)
    watched.queue.put_nowait(StoreUnavailable("cut"))
    await until_timers(watched.clock, 2)  # the request's own, and the delay before reconnecting
    watched.clock.advance(RECONNECT_SECONDS[0] * 1_000)
    found, _ = await asyncio.wait_for(waiting, 5)
    assert _final(found)
    assert watched.opened == 2
    await hub.close()


async def test_without_an_event_a_request_reads_again_after_a_while() -> None:
    hub, watched = _hub()
    waiting = _wait(hub, watched)
    await watched.until_read(2)
    watched.change(State.COMPLETED)
    waited = 0.0
    while watched.reads == 2:  # it wakes every CLIENT_CHECK_SECONDS to look at its client
        await until_timers(watched.clock, 1)
        watched.clock.advance(CLIENT_CHECK_SECONDS * 500)
        waited += CLIENT_CHECK_SECONDS / 2
        await settle()
    assert RESYNC_SECONDS[0] <= waited <= RESYNC_SECONDS[1] + CLIENT_CHECK_SECONDS
    found, _ = await asyncio.wait_for(waiting, 5)
    assert _final(found)
    await hub.close()


async def test_closing_ends_every_wait_and_admits_no_more() -> None:
    hub, watched = _hub()
    until_waiting = entrance(hub)
    waiting = [_wait(hub, watched) for _ in range(3)]
    await until_waiting(3)
    await hub.close()
    for found, waited in await asyncio.wait_for(asyncio.gather(*waiting), 5):
        assert (found.job, waited) == (watched.job, True)
    assert await _wait(hub, watched) == (Found(watched.job), False)
    assert hub.waiters == 0


async def test_beyond_the_limit_requests_do_not_wait() -> None:
    hub, watched = _hub(limit=1)
    until_waiting = entrance(hub)
    first = _wait(hub, watched)
    await until_waiting()
    assert await _wait(hub, watched) == (Found(watched.job), False)
    await hub.close()
    await first


async def test_a_request_whose_client_disconnected_does_not_wait() -> None:
    hub, watched = _hub()
    checks = iter([False] * 4)
    waiting = asyncio.create_task(hub.wait(watched.job.id, 60, _final, lambda: next(checks, True)))
    await watched.until_read(2)
    while not waiting.done():
        await until_timers(watched.clock, 1)
        watched.clock.advance(CLIENT_CHECK_SECONDS * 1_000)
        await settle()
    found, _ = await waiting
    assert found.job == watched.job
    assert next(checks, None) is None
    assert watched.clock.now_ms() - ManualClock().now_ms() < RESYNC_SECONDS[0] * 1_000
    await hub.close()


async def test_there_is_a_subscription_only_while_requests_wait() -> None:
    hub, watched = _hub()
    assert watched.opened == 0
    waiting = _wait(hub, watched)
    await watched.until_opened(1)
    task = hub._task
    watched.change(State.COMPLETED)
    watched.queue.put_nowait(Event(watched.job.id, 2))
    await asyncio.wait_for(waiting, 5)
    assert task is not None
    watched.clock.advance(LINGER_SECONDS * 1_000 - 1)
    await settle()
    assert not task.done()
    watched.clock.advance(1)
    await asyncio.wait([task], timeout=5)
    assert task.done()
    watched.change(State.QUEUED)
    waiting = _wait(hub, watched)
    await watched.until_opened(2)
    await hub.close()
    await waiting
