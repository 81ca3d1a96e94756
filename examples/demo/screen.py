"""The jobs of `make demo` and how they are shown: a table on a terminal, else lines."""

import asyncio
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from asyncendpoints_core.scaling.decide import Decision

MARKS = {"Completed": "\x1b[32m", "Failed": "\x1b[31m", "Canceled": "\x1b[33m"}


@dataclass
class Watched:
    """One submitted job: its label, its expected outcome and its current state."""

    label: str
    path: str
    body: bytes
    headers: dict[str, str]
    state: str
    code: str | None = None
    attempts: int | None = None
    cancel: bool = False
    tenant: str = ""
    job: dict[str, Any] = field(default_factory=dict)
    progress_seen: bool = False
    has_result: bool = False

    @property
    def now(self) -> str:
        """The current state with its reason."""
        job = self.job
        if not job:
            return "submitting"
        text = str(job["state"])
        if job["state"] == "InProgress" and job["progress"]:
            text += f" {job['progress']['fraction']:.0%} {job['progress']['message']}"
        if job["error"] and job["state"] != "Completed":
            text += f" ({job['error']['code']})"
        if job["attempt"] > 1 or (job["state"] == "Scheduled" and job["attempt"]):
            text += f", attempt {job['attempt']} of {job['maxAttempts']}"
        return text

    def fault(self) -> str:
        """Return the difference from the expected outcome, or ""."""
        job = self.job
        got = (job["state"], job["error"] and job["error"]["code"], job["attempt"])
        code = self.code if self.state == "Failed" else got[1]
        wanted = (self.state, code, got[2] if self.attempts is None else self.attempts)
        if got != wanted:
            return f"{self.label}: got {got}, wanted {wanted}"
        if self.state == "Completed" and not self.has_result:
            return f"{self.label}: its result is not a report"
        return ""


class Screen:
    """Shows the jobs: a table that is redrawn on a terminal, otherwise a line per change."""

    def __init__(self, watched: list[Watched]) -> None:
        """Show these jobs, once `draw` is called."""
        self._watched = watched
        self._terminal = sys.stdout.isatty()
        self._lines = 0
        self._shown: dict[str, str] = {}
        self._begun = time.monotonic()
        self._why = ""
        self.workers = 0
        self.most_workers = 0
        self._webhooks = 0
        self.calm = asyncio.Event()

    def scaled(self, decision: Decision) -> None:
        """Show a decision of the autoscaler."""
        if decision.replicas != self.workers:
            self.note(f"workers {decision.text}")
            self._why = decision.text
        self.workers = decision.replicas
        self.most_workers = max(self.most_workers, self.workers)
        (self.calm.set if self.workers <= 1 else self.calm.clear)()
        self.draw()

    def received(self, kind: str, name: str, job: str) -> None:
        """Show a webhook that was received."""
        self._webhooks += 1
        self.note(f"webhook {kind} of {name} {job[-8:]}")
        self.draw()

    def note(self, text: str) -> None:
        """Print a line, unless there is a table."""
        if not self._terminal:
            self._print(f"{time.monotonic() - self._begun:5.1f} s  {text}")

    def draw(self) -> None:
        """Show the changes."""
        if not self._terminal:
            for one in self._watched:
                if one.job and self._shown.get(one.label) != one.now.partition(" ")[0]:
                    self._shown[one.label] = one.now.partition(" ")[0]
                    self.note(f"{one.label}: {one.now}")
            return
        single = [one for one in self._watched if not one.tenant]
        lines = [f"  workers {'#' * self.workers:<4}  {self._why}", ""]
        lines += [f"  {one.label:<40} {_coloured(one.now)}" for one in single]
        for tenant in dict.fromkeys(one.tenant for one in self._watched if one.tenant):
            states = Counter(
                one.job.get("state", "not submitted")
                for one in self._watched
                if one.tenant == tenant
            )
            listed = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
            label = f"{states.total()} reports of the {tenant} customer"
            lines.append(f"  {label:<40} {listed}")
        lines.append(f"  {'webhooks received':<40} {self._webhooks}")
        up = f"\x1b[{self._lines}F\x1b[J" if self._lines else ""
        self._print(up + "\n".join(lines))
        self._lines = len(lines)

    def _print(self, text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def _coloured(text: str) -> str:
    mark = "" if os.environ.get("NO_COLOR") else MARKS.get(text.partition(" ")[0].rstrip(","), "")
    return f"{mark}{text}\x1b[0m" if mark else text
