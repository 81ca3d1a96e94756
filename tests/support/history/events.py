"""What the processes recorded (core/asyncendpoints_core/store/history.py), read back."""

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
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
        for line in _lines(file)
        if line.endswith("}\n")  # the last one of a killed process may be cut
    )
    return parse(lines, read_runs(runs) if runs is not None else ())


def _lines(file: Path) -> Iterator[str]:
    with file.open() as lines:
        yield from lines


def read_runs(file: Path) -> list[Run]:
    """Read lines `begin|end JOB CLAIM MONOTONIC_NS`."""
    begun: dict[tuple[str, int], int] = {}
    ended: dict[tuple[str, int], int] = {}
    for line in _lines(file):
        what, job, claim, at = line.split()
        (begun if what == "begin" else ended)[sys.intern(job), int(claim)] = int(at)
    return [Run(job, claim, at, ended.get((job, claim))) for (job, claim), at in begun.items()]


def parse(lines: Iterable[dict[str, Any]], runs: Iterable[Run]) -> History:
    """Sort recorded calls and runs by job. There may be millions of lines: none is kept."""
    history = History(defaultdict(lambda: defaultdict(list)), defaultdict(list), set(), set())
    fields: dict[tuple[Any, ...], dict[str, Any]] = {}
    for line in lines:
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
                sys.intern(item["job"]),
                item.get("status"),
                item.get("claim", 0),
                sys.intern(item.get("worker", line.get("worker", ""))),
                _kept(item, fields),
            )
            # A replayed submission is about the job that it was answered with.
            about = item.get("is") or item["job"] if verb == "enqueue" else item["job"]
            history.calls[sys.intern(about)][verb].append(call)
    for verbs in history.calls.values():
        for calls in verbs.values():
            calls.sort(key=lambda call: call.ended)
    for run in sorted(runs, key=lambda each: each.begun):
        history.runs[run.job].append(run)
    return history


def _kept(item: dict[str, Any], known: dict[tuple[Any, ...], dict[str, Any]]) -> dict[str, Any]:
    """Return the fields of an item that differ in few ways, the same dict for the same values."""
    values = tuple(
        (name, item[name]) for name in ("kind", "state", "priority", "delay_ms") if name in item
    )
    shared = known.setdefault(values, dict(values))
    own = {name: item[name] for name in ("key", "children") if item.get(name)}
    return {**shared, **own} if own else shared
