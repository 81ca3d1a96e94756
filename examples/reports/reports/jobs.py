"""The handlers: they build a report from a CSV file in the request's body or at a URL."""

import asyncio
import os
from typing import Annotated
from urllib.parse import urlsplit

import aiohttp
from pydantic import BaseModel, Field

from asyncendpoints import JobContext, PermanentError, Result, RetryAfter, handler
from reports.figures import describe
from reports.page import page
from reports.table import BadTable, read

MAX_RESAMPLES = 100_000
MAX_DOWNLOAD = 16 * 1_048_576


@handler("build-report")
def build_report(csv_text: str, job: JobContext) -> Result | dict[str, object]:
    """Build a report from the CSV text of the body. A sync function: it runs in a thread."""
    column = _query(job, "column")
    if column is None:
        raise PermanentError("say which column: ?column=NAME", code="bad-request")
    resamples = _query(job, "resamples") or "1000"
    if not resamples.isdecimal() or int(resamples) > MAX_RESAMPLES:
        raise PermanentError(f"resamples is a number up to {MAX_RESAMPLES}", code="bad-request")
    return make(csv_text, column, _query(job, "by"), int(resamples), job)


class ImportRequest(BaseModel):
    """Where the CSV file is, and what to report."""

    url: str
    column: str
    by: str | None = None
    resamples: Annotated[int, Field(ge=0, le=MAX_RESAMPLES)] = 1_000


@handler("import-report")
async def import_report(request: ImportRequest, job: JobContext) -> Result | dict[str, object]:
    """Fetch a CSV file and build a report from it.

    Only hosts in $REPORTS_SOURCES (separated by spaces) are allowed, so that clients cannot use
    this to probe the internal network.
    """
    host = urlsplit(request.url).netloc
    if host not in os.environ.get("REPORTS_SOURCES", "").split():
        raise PermanentError(f"{host} is not an allowed source", code="forbidden-source")
    await job.progress(0.0, f"fetching from {host}")
    text = await fetch(request.url)
    return await asyncio.to_thread(make, text, request.column, request.by, request.resamples, job)


async def fetch(url: str) -> str:
    """Return the text at `url`.

    A busy server sets Retry-After: RetryAfter. A failing server is retried after the backoff: any
    other exception. A missing file will not appear: PermanentError.
    """
    timeout = aiohttp.ClientTimeout(total=30)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(url, allow_redirects=False) as answer,
    ):
        if answer.status in (429, 503):
            seconds = answer.headers.get("Retry-After", "")
            wait = float(seconds) if seconds.isdecimal() else 1.0
            raise RetryAfter(wait, f"the source is busy ({answer.status})")
        if 400 <= answer.status < 500:
            raise PermanentError(f"the source answered {answer.status}", code="no-source")
        if answer.status != 200:
            raise ConnectionError(f"the source answered {answer.status}")
        body = bytearray()
        async for part in answer.content.iter_any():
            body += part
            if len(body) > MAX_DOWNLOAD:
                raise PermanentError("the file is too large", code="too-large")
        return body.decode("utf-8", "replace")


def make(
    text: str, column: str, by: str | None, resamples: int, job: JobContext
) -> Result | dict[str, object]:
    """Read, calculate and render, with progress; stop when the job is canceled."""

    def reading(characters: int) -> None:
        job.raise_if_canceled()
        job.progress(min(0.3, 0.3 * characters / max(1, len(text))), "reading")

    def calculating(share: float) -> None:
        job.raise_if_canceled()
        job.progress(0.3 + 0.65 * share, "calculating")

    try:
        table = read(text, column, by, reading)
    except BadTable as error:
        raise PermanentError(str(error), code="bad-table") from None
    found = describe(table.groups, resamples, calculating)
    job.progress(0.95, "writing")
    customer = job.route_params.get("customer", job.schedule)  # a schedule has no path
    if "application/json" in job.headers.get("accept", ""):
        figures = [figures.as_json() for figures in found]
        return {"customer": customer, "column": column, "rows": table.rows, "groups": figures,
                "passedOver": table.faults}  # fmt: skip
    html = page(f"{column} of {customer}", found, table.faults)
    filename = "".join(c if c.isalnum() else "-" for c in customer)[:100] + ".html"
    return Result(html, content_type="text/html; charset=utf-8", filename=filename)


def _query(job: JobContext, name: str) -> str | None:
    values = job.query_params.get(name)
    return values[-1] if values else None
