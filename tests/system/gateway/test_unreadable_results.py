"""A result whose bytes in Redis are damaged: a final answer for that job, and no other's fault."""

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import Result
from asyncendpoints_core.jobs.states import State
from support.http.console import console
from support.http.gateway import Answer, Site, serving
from support.redis.backend import RedisBackend


async def _damaged(site: Site, backend: RedisBackend) -> JobId:
    """Return a completed job; the name of its result's type is no text in Redis."""
    job_id = await site.accepted(Idempotency_Key="order-1")
    await site.complete(await site.claim(), Result("text/x", b"body"))
    await backend.damage(job_id, b"text/x", b"text/\xff")
    return job_id


def _final(answer: Answer) -> None:
    problem = answer.problem("internal", 500)
    assert problem["detail"] == "the job completed, but its stored result cannot be read"
    assert "Retry-After" not in answer.headers


async def test_a_client_is_not_asked_to_try_again(redis_url: str) -> None:
    backend = RedisBackend(redis_url)
    await backend.open()
    async with serving(backend.store) as site:
        job_id = await _damaged(site, backend)
        other = await site.finished()
        _final(await site.ask("GET", f"/jobs/{ids.text(job_id)}/result"))
        _final(await site.submit(Idempotency_Key="order-1", Prefer="wait=1"))
        assert (await site.job(job_id)).json["state"] == State.COMPLETED
        assert (await site.ask("GET", f"/jobs/{ids.text(other)}/result")).body == b"done"
    await backend.close()


async def test_the_console_shows_the_job_without_its_result(redis_url: str) -> None:
    backend = RedisBackend(redis_url)
    await backend.open()
    async with serving(backend.store) as site:
        job_id = await _damaged(site, backend)
    async with console({"reports": backend.store}) as shown:
        path = f"/api/v1/endpoints/demo/reports/jobs/{ids.text(job_id)}"
        job = (await shown.ask("GET", path)).json
        assert (job["state"], job["resultBytes"]) == (State.COMPLETED, None)
        assert (await shown.ask("GET", f"{path}/result")).status == 500
    await backend.close()
