"""`asyncendpoints init`: writes a first project, with a route in code and its test."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.errors import UsageError

if TYPE_CHECKING:
    from argparse import Namespace

JOBS: Final = '''\
"""The endpoint NAME: its routes, and the functions that run their jobs."""

from pydantic import BaseModel, Field

from asyncendpoints import Endpoint, JobContext

ep = Endpoint("NAME", worker={"concurrency": 4})


class Greeting(BaseModel):
    """What is greeted, and how often."""

    name: str = Field(min_length=1, max_length=100)
    times: int = Field(1, ge=1, le=1_000)


class Greeted(BaseModel):
    """The result of a greeting."""

    text: str


@ep.post("/greetings")
async def greet(greeting: Greeting, job: JobContext) -> Greeted:
    """Say hello as often as asked."""
    words = []
    for number in range(greeting.times):
        words.append(f"Hello, {greeting.name}!")
        await job.progress((number + 1) / greeting.times, f"greeting {number + 1}")
    return Greeted(text=" ".join(words))
'''
TESTS: Final = '''\
"""Tests of the handlers: each runs one attempt, without a server."""

import asyncio

from asyncendpoints.testing import run_job
from jobs import greet


def test_a_greeting() -> None:
    run = asyncio.run(run_job(greet, {"name": "Ann", "times": 2}))
    assert run.outcome == "completed"
    assert run.result == {"text": "Hello, Ann! Hello, Ann!"}


def test_a_body_that_does_not_fit() -> None:
    run = asyncio.run(run_job(greet, {"name": ""}))
    assert run.error is not None
    assert (run.outcome, run.error.code) == ("failed", "invalid-payload")
'''
NEXT: Final = """\
NextFOLDER:
  asyncendpoints run jobs:ep --reload         # http://127.0.0.1:8080/docs
  python -m pytest                            # the tests
  asyncendpoints export jobs:ep -o NAME.yaml  # for a cluster
"""
_NAME: Final = re.compile(r"[a-z]([-a-z0-9]{0,48}[a-z0-9])?")


def execute(options: Namespace) -> int:
    """Write the files; UsageError, before any is written, if one of them exists."""
    folder = Path(options.folder)
    name = options.name or re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"--name {name or 'NAME'}: write up to 50 lower-case letters, digits and -, starting "
            "with a letter"
        )
    files = {folder / "jobs.py": JOBS, folder / "test_jobs.py": TESTS}
    for file in files:
        if file.exists():
            raise UsageError(f"{file}: exists already; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        file.write_text(text.replace("NAME", name), encoding="utf-8")
        sys.stdout.write(f"wrote {file}\n")
    where = "" if folder == Path() else f", in {folder}"
    sys.stdout.write(NEXT.replace("NAME", name).replace("FOLDER", where))
    return 0
