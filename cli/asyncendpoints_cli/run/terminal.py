"""What `run` shows on a terminal: what is served, a line for each request and job, a summary.

The lines are aligned with those of the log, which goes to the same stream. Everything that comes
from a client is written as one line without control characters.
"""

from __future__ import annotations

import os
import re
import sys
import textwrap
import time
from collections import Counter
from typing import TYPE_CHECKING, Final, TextIO

from asyncendpoints_core import __version__
from asyncendpoints_core.common.faults import one_line
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.process.logs import wants_colours

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncendpoints_core.jobs.records import Attempt, Job
    from asyncendpoints_core.process.settings import Settings
    from asyncendpoints_core.resource import AsyncEndpoint
    from asyncendpoints_gateway.http.messages import Request, Response

DIM: Final = "2"
BOLD: Final = "1"
RED: Final = "31"
GREEN: Final = "32"
YELLOW: Final = "33"
CYAN: Final = "36"
OF_OUTCOME: Final = {"Completed": GREEN, "Failed": RED, "Canceled": YELLOW, "Retry": YELLOW}
NAME_WIDTH: Final = 20, 36
"""How wide the column with path or job name is, at least and at most."""
OTHERS_WIDTH: Final = 57
"""How wide the other columns of a job's line are, to "attempt 1/4"."""
ENDPOINT_WIDTH: Final = 11
NARROW_WIDTH: Final = 27
"""How wide the other columns of a line are on a terminal without room for those above."""
_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{4}")


class Terminal:
    """Writes to a terminal; one for all endpoints of a `run`."""

    def __init__(
        self,
        stream: TextIO,
        names: Iterable[str],
        endpoints: int,
        *,
        columns: int,
        quiet: bool,
        coloured: bool,
    ) -> None:
        """Write to `stream`, `columns` wide. `names`: jobs and paths that get lines; `quiet`: show
        no lines.
        """
        self._stream = stream
        self._several = endpoints > 1
        low, high = NAME_WIDTH
        room = columns - OTHERS_WIDTH - ENDPOINT_WIDTH * self._several
        self._columns = columns
        self._narrow = room < low
        if self._narrow:
            self._width = min(high, max(8, columns - NARROW_WIDTH))
        else:
            self._width = min(high, room, max([low, *map(len, names)]))
        self._quiet = quiet
        self._coloured = coloured
        self._began = time.monotonic()
        self._requests = 0
        self._outcomes: Counter[str] = Counter()

    @classmethod
    def of(cls, endpoints: Sequence[AsyncEndpoint], settings: Settings) -> Terminal | None:
        """Return the terminal that stderr is, None if it is none or the log on it is JSON."""
        if settings.log_format == "json" or not sys.stderr.isatty():
            return None
        routes = [route for each in endpoints for route in each.spec.routes]
        names = [
            *(route.job for route in routes),
            *(f"{method} {route.path}" for route in routes for method in route.methods),
        ]
        columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
        return cls(
            *(sys.stderr, names, len(endpoints)),
            columns=columns,
            quiet=settings.quiet,
            coloured=wants_colours(),
        )

    def banner(
        self, served: Iterable[tuple[AsyncEndpoint, str]], rows: Iterable[tuple[str, str]]
    ) -> None:
        """Write what is served: endpoints with their URLs, then labels with their texts."""
        lines = ["", f"  {self._paint(BOLD, f'asyncendpoints {__version__}')}"]
        for endpoint, url in served:
            lines += ["", self._row(endpoint.name, self._paint(CYAN, url))]
            for route in endpoint.spec.routes:
                path = f"{','.join(route.methods)} {route.path}".ljust(self._width)
                lines.append(self._row("", f"{path} {self._paint(DIM, '→')} {route.job}"))
            lines.append(self._row("", self._paint(DIM, f"docs: {url}/docs")))
        lines += ["", *(self._row(label, text) for label, text in rows), ""]
        self._write("\n".join(lines))

    def _row(self, label: str, text: str) -> str:
        return f"  {label:10} {text}"

    def request(self, endpoint: str, request: Request, response: Response, seconds: float) -> None:
        """Write the line of a request; one that created or concerns a job has its short id."""
        self._requests += 1
        status = response.status
        colour = GREEN if status < 400 else YELLOW if status < 500 else RED
        job = response.headers.get("Location", "").rpartition("/")[2] if status == 202 else ""
        path = _ID.sub("…", one_line(f"{request.method} {request.path}"))
        self._line(endpoint, "request", path, job, str(status), colour, duration(seconds), "")

    def attempt(self, endpoint: str, job: Job, attempt: Attempt) -> None:
        """Write the line of an attempt that ended without ending its job."""
        self._outcomes["Retry"] += attempt.outcome in ("retry", "timed-out")
        again = f"attempt {attempt.number}/{job.max_attempts}"
        if (wait := job.not_before_ms - attempt.ended_ms) > 0:
            again += f", next in {duration(wait / 1000)}"
        word = "Retry" if attempt.outcome in ("retry", "timed-out") else attempt.outcome.title()
        ran = duration((attempt.ended_ms - attempt.started_ms) / 1000)
        self._job(endpoint, job, word, ran, again + _reason(attempt))

    def final(self, endpoint: str, job: Job) -> None:
        """Write the line of a job that is final."""
        word = job.state.value
        self._outcomes[word] += 1
        ran = duration((job.completed_ms - job.started_ms) / 1000) if job.started_ms else ""
        more = f"attempt {job.attempt}/{job.max_attempts}" if job.attempt else "never ran"
        self._job(endpoint, job, word, ran, more + _reason(job))

    def _job(self, endpoint: str, job: Job, word: str, ran: str, more: str) -> None:
        colour = OF_OUTCOME.get(word, YELLOW)
        self._line(endpoint, "job", job.name, ids.text(job.id), word, colour, ran, more)

    def _line(
        self,
        endpoint: str,
        kind: str,
        name: str,
        job_id: str,
        word: str,
        colour: str,
        lasted: str,
        more: str,
    ) -> None:
        if self._quiet:
            return
        if self._several:
            kind = f"{kind:7} {endpoint:10}"
        before = self._paint(DIM, f"{time.strftime('%H:%M:%S')} {kind:7} ")
        if self._narrow:
            before, more = "", "" if word == "Completed" else self._below(more)
        else:
            more = f"  {one_line(more)}"
        short = self._paint(DIM, f"{job_id[-ids.SHORT :]:8}")
        self._write(
            f"{before}{_cut(name, self._width):{self._width}} {short} "
            f"{self._paint(colour, f'{word:9}')} {lasted:>7}{more}".rstrip()
        )

    def _below(self, text: str) -> str:
        """Return text in lines of their own that fit a narrow terminal."""
        width = max(20, self._columns - 2)
        lines = textwrap.wrap(one_line(text), width, break_on_hyphens=False)
        return "".join(f"\n  {line}" for line in lines)

    def summary(self) -> None:
        """Write what happened since the start."""
        ended = sum(count for word, count in self._outcomes.items() if word != "Retry")
        parts = [
            f"{self._outcomes[word]} {word.lower()}"
            for word in ("Completed", "Failed", "Canceled")
            if self._outcomes[word]
        ]
        retries = self._outcomes["Retry"]
        text = f"{_count(self._requests, 'request')}, {_count(ended, 'job')} ended"
        text += f": {', '.join(parts)}" if parts else ""
        text += f"; {retries} retr{'y' if retries == 1 else 'ies'}" if retries else ""
        text = f"stopped after {duration(time.monotonic() - self._began)}: {text}"
        self._write(self._below(text) if self._narrow else f"\n  {text}")

    def _paint(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._coloured else text

    def _write(self, text: str) -> None:
        self._stream.write(f"{text}\n")
        self._stream.flush()


def _reason(ended: Job | Attempt) -> str:
    return f": {ended.error.code}: {ended.error.message}" if ended.error is not None else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def duration(seconds: float) -> str:
    """Return a duration in at most seven characters, such as "1.2 ms", "350 ms", "2 min"."""
    if seconds < 0.01:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes / 60:.1f} h"
