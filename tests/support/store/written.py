"""A run through the verbs that writes every kind of record, and what Redis then holds, as text."""

from typing import Any

from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import JobError, NewJob, Priority, Progress, Request, Result
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.replies import Cause, LeaseRenewal
from support.redis.backend import RedisBackend
from support.store.stores import DONE, Hand, hand, look, new, policy

HASHES = ("jobs", "runs", "blobs", "results", "idem", "lastclaim", "corrupt")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def job_id(number: int) -> JobId:
    """Return an id that is the same in every run."""
    return JobId(bytes([number]) * 16)


def traced(number: int) -> NewJob:
    """Return a job with a trace, and headers that no other has."""
    headers = {"traceparent": TRACE, "x-colour": "bleu ☃", "accept": "*/*"}
    request = Request("PUT", "/traced", "", {}, headers, "text/plain", b"body")
    return NewJob(job_id(number), "traced", request, 3)


async def write_records(backend: RedisBackend) -> Hand:
    """Write every kind of record; return a worker that holds some of the jobs."""
    store = backend.store
    await store.configure(policy())
    worker = await hand(store)
    error = JobError("handler-error", "it went wrong ☃", retryable=True)
    await store.enqueue(
        [
            new(job_id=job_id(1)),
            traced(2),
            new("apart", job_id=job_id(3), body=b"x" * 2_000),
            new(job_id=job_id(4), ttl_ms=90_000, priority=Priority.HIGH),
            new(job_id=job_id(5), delay_ms=60_000, key="key", fingerprint=b"print"),
            *(new(f"n{number}", job_id=job_id(number)) for number in range(6, 16)),
        ]
    )
    taken = {job.job.id[0]: job.claim for job in await worker.take(20)}
    await backend.advance(1_000)
    await store.progress([(taken[1], Progress(0.25, "a quarter"))])
    spelled_out = Result("image/png", b"png", "chart.png")
    await worker.settle(
        jobs.complete(taken[2], Result("application/json", b"{}")),
        jobs.complete(taken[3], Result("text/plain", b"r" * 2_000)),
        jobs.complete(taken[4], spelled_out),
        jobs.retry_later(taken[6], error, 5_000),
        jobs.fail(taken[7], error),
        jobs.release(taken[8]),
        jobs.timed_out(taken[9], error, 7_000),
        jobs.release(taken[10], started=False),
    )
    await store.cancel([job_id(11), job_id(5)])
    await store.pause()
    await backend.advance(10_000)
    await store.resume()
    await store.enqueue(
        [
            new("later", job_id=job_id(16), body=b"y" * 1_025),
            new("later", job_id=job_id(17), ttl_ms=5_000, delay_ms=1_000),
            new("later", job_id=job_id(18), priority=Priority.LOW),
        ]
    )
    other = await hand(store, "w2")
    for job in await other.take(20):
        done = job.job.id in (job_id(16), job_id(17))
        await other.settle(jobs.complete(job.claim, DONE) if done else jobs.release(job.claim))
    for _ in range(13):
        for job in await other.take(1):
            await other.settle(jobs.release(job.claim))
    await other.take(2)
    await store.release_worker("w2", Cause.CRASH)
    third = await hand(store, "worker-three")
    await third.take(1)
    await store.release_worker("worker-three", Cause.CRASH)
    await store.redrive([job_id(7)])
    await backend.spoil(job_id(12), b"not a record")
    await store.progress([(taken[12], Progress(1.0))])
    await worker.take(3)
    return worker


async def read_records(backend: RedisBackend) -> None:
    """Read every record that `write_records` wrote, and run the jobs to their end."""
    store = backend.store
    found = await stored(backend)
    assert (await look(store, job_id(2))).state is State.COMPLETED
    _, result = await store.result(job_id(4))
    assert result == jobs.Result("image/png", b"png", "chart.png")
    failed = await look(store, job_id(12))
    assert failed.error is not None
    assert failed.error.code == "corrupt"
    running = await look(store, job_id(1))
    assert running.progress == jobs.Progress(0.25, "a quarter")
    assert (running.state, running.attempt) == (State.IN_PROGRESS, 1)
    [beat] = await store.heartbeat([LeaseRenewal("w1")])
    assert job_id(11) in [claim.job_id for claim in beat.cancels]
    assert beat.held == len(found["held"]) - 1
    page = await store.list(None, 100, None)
    assert len(page.jobs) == len(found["jobs"])
    retried = await look(store, job_id(6))
    assert retried.attempts[0].outcome == "retry"
    await store.release_worker("w1", Cause.LOST)
    worker = await hand(store, "w9")
    while taken := await worker.take(5):
        assert {job.request.path for job in taken} <= {"/reports/7", "/traced"}
        await worker.settle(*(jobs.complete(job.claim, DONE) for job in taken))
    assert (await look(store, job_id(1))).state is State.COMPLETED


async def stored(backend: RedisBackend) -> dict[str, Any]:
    """Return what Redis holds of the jobs, fields and values in hexadecimal."""
    held = await backend.redis.zrange(backend.key("held"), 0, -1)
    found: dict[str, Any] = {"held": [member.hex() for member in held]}
    for name in HASHES:
        pairs = await backend.redis.hgetall(backend.key(name))
        found[name] = {field.hex(): value.hex() for field, value in sorted(pairs.items())}
    return found
