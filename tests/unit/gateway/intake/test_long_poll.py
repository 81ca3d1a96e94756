"""Waiting for jobs to change: nothing between reading and watching is missed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import Job, Priority
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.replies import Event, Found
from asyncendpoints_gateway.intake.long_poll import Hub
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
    """A store with one job, whose watch shows what the test sends."""

    def __init__(self) -> None:
        self.job = _job()
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
    return Hub(watched, watched.get, limit), watched  # type: ignore[arg-type]  # all it uses


def _final(found: Found) -> bool:
    return found.job is not None and found.job.final


def _wait(hub: Hub, watched: Watched) -> "asyncio.Task[tuple[Found, bool]]":
    return asyncio.create_task(hub.wait(watched.job.id, 60, _final, lambda: False))


async def test_a_change_between_reading_and_watching_is_not_missed() -> None:
    hub, watched = _hub()
    waiting = _wait(hub, watched)
    await watched.until_read(1)
    # Nobody tells of this change; but the watch, once begun, has everybody read again.
    watched.change(State.COMPLETED)
    found, waited = await asyncio.wait_for(waiting, 5)
    assert waited
    assert _final(found)
    await hub.close()


async def test_an_event_wakes_who_waits_for_that_job() -> None:
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


async def test_after_a_lost_connection_everybody_reads_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("asyncendpoints_gateway.intake.long_poll.RECONNECT_SECONDS", (0.0, 0.0))
    hub, watched = _hub()
    waiting = _wait(hub, watched)
    await watched.until_read(2)
    watched.change(State.CANCELED)
    watched.queue.put_nowait(StoreUnavailable("cut"))
    found, _ = await asyncio.wait_for(waiting, 5)
    assert _final(found)
    assert watched.opened == 2
    await hub.close()


async def test_a_message_that_is_lost_is_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncendpoints_gateway.intake.long_poll.RESYNC_SECONDS", (0.01, 0.02))
    hub, watched = _hub()
    waiting = _wait(hub, watched)
    await watched.until_read(3)
    watched.change(State.COMPLETED)
    found, _ = await asyncio.wait_for(waiting, 5)
    assert _final(found)
    await hub.close()


async def test_closing_lets_everybody_answer_and_lets_nobody_in() -> None:
    hub, watched = _hub()
    until_waiting = entrance(hub)
    waiting = [_wait(hub, watched) for _ in range(3)]
    await until_waiting(3)
    await hub.close()
    for found, waited in await asyncio.wait_for(asyncio.gather(*waiting), 5):
        assert (found.job, waited) == (watched.job, True)
    assert await _wait(hub, watched) == (Found(watched.job), False)
    assert hub.waiters == 0


async def test_as_many_wait_as_may() -> None:
    hub, watched = _hub(limit=1)
    until_waiting = entrance(hub)
    first = _wait(hub, watched)
    await until_waiting()
    assert await _wait(hub, watched) == (Found(watched.job), False)
    await hub.close()
    await first


async def test_nobody_waits_for_a_client_that_went_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncendpoints_gateway.intake.long_poll.LOOK_SECONDS", 0.01)
    hub, watched = _hub()
    looks = iter([False, False, False])
    waited = hub.wait(watched.job.id, 60, _final, lambda: next(looks, True))
    found, _ = await asyncio.wait_for(waited, 5)
    assert found.job == watched.job
    await hub.close()


async def test_the_store_is_watched_only_while_somebody_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("asyncendpoints_gateway.intake.long_poll.LINGER_SECONDS", 0.0)
    hub, watched = _hub()
    assert watched.opened == 0
    waiting = _wait(hub, watched)
    await watched.until_opened(1)
    task = hub._task
    watched.change(State.COMPLETED)
    watched.queue.put_nowait(Event(watched.job.id, 2))
    await asyncio.wait_for(waiting, 5)
    assert task is not None
    await asyncio.wait([task], timeout=5)
    assert task.done()
    watched.change(State.QUEUED)
    waiting = _wait(hub, watched)
    await watched.until_opened(2)
    await hub.close()
    await waiting
