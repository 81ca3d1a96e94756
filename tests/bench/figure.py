"""A line of the table of `make bench`, and how the script of a benchmark is run."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Figure:
    """One line of the table; `at_least` says which side of the target is good."""

    name: str
    value: float
    unit: str = ""
    target: float | None = None
    at_least: bool = True

    def render(self) -> str:
        """Return the line."""
        shown = f"{self.value:,.2f}" if abs(self.value) < 100 else f"{self.value:,.0f}"
        line = f"{self.name:<58} {shown:>10} {self.unit:<8}"
        if self.target is None:
            return line.rstrip()
        good = self.value >= self.target if self.at_least else self.value <= self.target
        sign = "≥" if self.at_least else "≤"
        return f"{line} {sign} {self.target:<6g} {'reached' if good else 'MISSED'}"


def script(name: str, *arguments: str) -> dict[str, Any]:
    """Run a benchmark of this folder; return the figures that it prints as JSON."""
    done = subprocess.run(
        [sys.executable, str(HERE / name), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{name} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures
