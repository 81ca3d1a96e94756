"""What the processes recorded (core/asyncendpoints_core/store/history.py), read back."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """One item of one call of the store. Times in ns of CLOCK_MONOTONIC; `status` None: unknown."""

    verb: str
    begun: int
    ended: int
    job: str
    status: str | None = None
    claim: int = 0
    worker: str = ""
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The kind of an outcome."""
        return str(self.fields.get("kind", ""))

    @property
    def state(self) -> str | None:
        """The state that the store reported, if any."""
        state = self.fields.get("state")
        return None if state is None else str(state)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a handler, recorded by the handler itself; `ended` None: it never returned."""

    job: str
    claim: int
    begun: int
    ended: int | None = None


@dataclass(slots=True)
class History:
    """The calls of all processes by job, and the runs of handlers."""

    calls: dict[str, dict[str, list[Call]]]
    runs: dict[str, list[Run]]
    # Workers of which a process reported the end, or whose lease expired.
    released: set[str]
    # Workers that asked to have everything released that they do not hold.
    reconciled: set[str]

    def of(self, job: str, verb: str) -> list[Call]:
        """Return the calls of one verb about one job, in the order in which they ended."""
        return self.calls.get(job, {}).get(verb, [])


def read(folder: Path, runs: Path | None = None) -> History:
    """Read every file of a folder, and the handlers' record of runs."""
    lines = (
        json.loads(line)
        for file in sorted(folder.glob("*.jsonl"))
        for line in file.read_text().splitlines()
        if line.endswith("}")  # the last one of a killed process may be cut
    )
    return parse(lines, read_runs(runs) if runs is not None else ())


def read_runs(file: Path) -> list[Run]:
    """Read lines `begin|end JOB CLAIM MONOTONIC_NS`."""
    begun: dict[tuple[str, int], int] = {}
    ended: dict[tuple[str, int], int] = {}
    for line in file.read_text().splitlines():
        what, job, claim, at = line.split()
        (begun if what == "begin" else ended)[job, int(claim)] = int(at)
    return [Run(job, claim, at, ended.get((job, claim))) for (job, claim), at in begun.items()]


def parse(lines: Iterable[dict[str, Any]], runs: Iterable[Run]) -> History:
    """Sort recorded calls and runs by job."""
    history = History(defaultdict(lambda: defaultdict(list)), defaultdict(list), set(), set())
    for line in sorted(lines, key=lambda each: int(each["ended"])):
        verb = "claim" if line["verb"] == "claim_next" else line["verb"]
        if verb == "release_worker":
            history.released.add(line["worker"])
        if verb == "reconcile":
            history.reconciled.add(line["worker"])
            continue
        for item in line.get("items", ()):
            call = Call(
                verb,
                line["begun"],
                line["ended"],
                item["job"],
                item.get("status"),
                item.get("claim", 0),
                item.get("worker", line.get("worker", "")),
                item,
            )
            # A replayed submission is about the job that it was answered with.
            about = item.get("is") or item["job"] if verb == "enqueue" else item["job"]
            history.calls[about][verb].append(call)
    for run in sorted(runs, key=lambda each: each.begun):
        history.runs[run.job].append(run)
    return history
