"""The handlers of the reports, tested with asyncendpoints.testing: no server, no waiting."""

from pathlib import Path
from typing import Any

import pytest
from reports import jobs

from asyncendpoints.testing import Clock, run_job

HERE = Path(__file__).parent
SALES = (HERE / "sales.csv").read_text()


async def build(text: str, **query: Any) -> Any:
    """Run build-report for a customer."""
    headers = {"Accept": "application/json"}
    return await run_job(
        jobs.build_report, text, params={"customer": "acme"}, query=query, headers=headers
    )


async def test_a_report_in_json() -> None:
    run = await build(SALES, column="amount", by="region", resamples=10)
    assert run.outcome == "completed"
    assert (run.result["customer"], run.result["rows"]) == ("acme", 400)
    assert run.progress[-1] == (0.95, "writing")


@pytest.mark.parametrize(
    ("query", "code"),
    [({}, "bad-request"), ({"column": "colour"}, "bad-table")],
)
async def test_faults_of_the_client_are_not_retried(query: dict[str, str], code: str) -> None:
    run = await build(SALES, **query)
    assert run.error is not None
    assert (run.outcome, run.error.code) == ("failed", code)


async def test_a_canceled_report_stops_between_its_steps() -> None:
    run = await run_job(
        jobs.build_report,
        SALES,
        params={"customer": "acme"},
        query={"column": "amount", "resamples": 1_000},
        cancel_at=0.4,
    )
    assert run.outcome == "canceled"


async def test_a_source_that_cannot_be_reached_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, asyncendpoint: Any, asyncendpoint_clock: Clock
) -> None:
    async def fetch(url: str) -> str:
        tries.append(url)
        if len(tries) < 3:
            raise ConnectionError("the source does not answer")
        return SALES

    tries: list[str] = []
    monkeypatch.setenv("REPORTS_SOURCES", "data.example.com")
    monkeypatch.setattr(jobs, "fetch", fetch)
    async with asyncendpoint(HERE / "endpoint.yaml", clock=asyncendpoint_clock) as app:
        body = {"url": "https://data.example.com/sales.csv", "column": "amount"}
        job = await app.submit("/imports/acme", body)
        await asyncendpoint_clock.advance(60)
        status = await job.status()
        assert (status.state, status.attempt, len(tries)) == ("Completed", 3, 3)
        assert "<svg" in await job.result()
