"""The job of main.py and its routes, tested without a server: `pytest`, from this folder."""

from fastapi.testclient import TestClient
from main import app, build_report, ep

from asyncendpoints.testing import run_job, running


async def test_the_report() -> None:
    run = await run_job(build_report, {"customer": "acme", "months": 2})
    assert run.result == {"customer": "acme", "total": 18.0}
    assert run.progress == ((0.5, "month 1"), (1.0, "month 2"))


async def test_the_job_through_its_gateway() -> None:
    async with running(ep) as app:
        job = await app.submit("/reports", {"customer": "acme", "months": 2})
        assert await job.result() == {"customer": "acme", "total": 18.0}


def test_a_new_customer_gets_a_report() -> None:
    with TestClient(app) as browser:
        added = browser.post("/customers", params={"customer": "acme"})
        assert added.status_code == 201
        job = f"/async/jobs/{added.json()['report']}"
        events = browser.get(job, headers={"Accept": "text/event-stream"})  # until it has ended
        assert '"Completed"' in events.text
