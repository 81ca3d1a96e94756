"""Jobs in Redis whose records are damaged byte by byte, and what every verb makes of them."""

import random
from contextlib import suppress

from asyncendpoints_core.errors import RecordError, WorkerGone
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import Attributes, Priority, complete, fail, retry_later
from asyncendpoints_core.store.replies import Cause
from support.redis.backend import RedisBackend
from support.store.stores import DONE, ERROR, Hand, hand, new, put

_HASHES = ("jobs", "runs", "blobs", "results")


async def damage_and_use(url: str, chance: random.Random) -> None:
    """Damage records of jobs in every state, use all verbs on them, and drain the queue.

    Asserts that no verb raises anything unexpected, and that every other job ends with its own
    request.
    """
    backend = RedisBackend(url)
    await backend.open()
    try:
        jobs = await _make(backend, chance)
        damaged = await _damage(backend, chance, list(jobs))
        await _use(backend, list(jobs))
        await _drain(backend, {job: body for job, body in jobs.items() if job not in damaged})
    finally:
        await backend.close()


async def _make(backend: RedisBackend, chance: random.Random) -> dict[JobId, bytes]:
    """Create jobs: waiting, running, to be retried, failed, completed. Return their bodies."""
    store = backend.store
    bodies: dict[JobId, bytes] = {}
    for index in range(12):
        body = b"%d" % index + b"x" * chance.choice((0, 100, 2_000))
        attributes = Attributes(tags=("a", f"t{index}")) if index % 3 == 0 else Attributes()
        made = new(body=body, attributes=attributes, priority=chance.choice(list(Priority)))
        bodies.update(dict.fromkeys(await put(store, made), body))
    worker = await hand(store, "maker")
    for claimed in await worker.take(5):
        claim = claimed.claim
        await worker.settle(
            chance.choice(
                (
                    retry_later(claim, ERROR, chance.choice((0, 1_000, 40_000))),
                    fail(claim, ERROR),
                    complete(claim, DONE),
                )
            )
        )
    await worker.take(2)
    return bodies


async def _damage(backend: RedisBackend, chance: random.Random, jobs: list[JobId]) -> set[JobId]:
    """Change bytes of some records; return the jobs that they belong to."""
    found = set()
    for job in chance.sample(jobs, 4):
        for name in chance.sample(_HASHES, len(_HASHES)):
            data = await backend.redis.hget(backend.key(name), job)
            if data:
                await backend.redis.hset(backend.key(name), job, mutated(data, chance))
                found.add(job)
                break
    return found


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return `data` with some bytes changed, removed, repeated or added."""
    made = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(made) + 1)
        match chance.randrange(5):
            case 0:
                made[at : at + 1] = bytes((chance.randrange(256),))
            case 1 if made:
                made[at % len(made)] ^= 1 << chance.randrange(8)
            case 2:
                del made[at : at + chance.randint(1, 8)]
            case 3:
                made[at:at] = chance.randbytes(chance.randint(1, 8))
            case _:
                made[at:at] = b"\x91" * chance.choice((1, 3_000))
    return bytes(made)


async def _use(backend: RedisBackend, jobs: list[JobId]) -> None:
    """Call every verb that reads records."""
    store = backend.store
    cursor = None
    while (cursor := (await store.list(None, 5, cursor)).cursor) is not None:
        pass
    await store.get(jobs)
    await store.inspect(jobs)
    for job in jobs:
        with suppress(RecordError):  # its result is unreadable
            await store.result(job)
    await store.cancel(jobs[:2])
    await store.redrive(jobs[2:4])
    await store.delete(jobs[4:5])
    await store.stats()
    await store.recover()
    await store.sweep()
    await store.release_worker("maker", Cause.CRASH)


async def _drain(backend: RedisBackend, sound: dict[JobId, bytes]) -> None:
    """Run everything that waits, for some minutes of the store's time."""
    store = backend.store
    worker: Hand | None = None
    for number in range(60):
        with suppress(WorkerGone):
            worker = worker or await hand(store, f"drain{number}")
            for claimed in await worker.take(10):
                if claimed.job.id in sound:
                    assert claimed.request.body == sound[claimed.job.id]
                await worker.settle(complete(claimed.claim, DONE))
            await _keep(backend)
            jobs = [found.job for found in await store.get(list(sound))]
            assert not [job for job in jobs if job and job.error and job.error.code == "corrupt"]
            if all(job is None or job.final for job in jobs):
                return
            continue
        worker = None
    raise AssertionError("jobs that were not damaged did not end")


async def _keep(backend: RedisBackend) -> None:
    """Do what workers do beside jobs, 20 s later."""
    await backend.advance(20_000)
    await backend.store.sweep()
    for name in (await backend.store.recover()).expired:
        await backend.store.release_worker(name, Cause.LOST)
