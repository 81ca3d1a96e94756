"""Reports of a shop: `uvicorn main:app`, from this folder."""

import asyncio
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

PAGE = Path(__file__).with_name("page.html")


class Wanted(BaseModel):
    """What a report is about."""

    customer: str = Field(min_length=1)
    months: int = Field(12, ge=1, le=12)


class Report(BaseModel):
    """The sales of a customer."""

    customer: str
    total: float


async def sales(customer: str, month: int) -> float:
    """Return the sales of a month; the database takes its time."""
    await asyncio.sleep(0.1)
    return len(customer) * month * 1.5


app = FastAPI()


@app.get("/")
async def page() -> FileResponse:
    """Return the page."""
    return FileResponse(PAGE)


@app.post("/reports")
async def build_report(wanted: Wanted) -> Report:
    """Add up the months."""
    total = 0.0
    for month in range(1, wanted.months + 1):
        total += await sales(wanted.customer, month)
    return Report(customer=wanted.customer, total=total)


@app.post("/customers", status_code=201)
async def add_customer(customer: str) -> dict[str, str]:
    """Add a customer."""
    return {"customer": customer}
