"""`make mutants`: apply each mutant to a copy of the code and run the tests that must catch it.

Prints a table of what caught each (that of docs/reliability.md), and exits with 1 if one survived.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mutants.mutants import MUTANTS, Mutant
from support.paths import ROOT

PACKAGES = ("core", "console", "gateway", "worker", "operator", "cli", "sdk")
SECONDS = 600.0


def main(arguments: list[str]) -> int:
    """Run the mutants whose names contain all `arguments`."""
    chosen = [each for each in MUTANTS if all(word in each.name for word in arguments)]
    survivors = 0
    sys.stdout.write("| mutant | caught by | seconds |\n|---|---|---|\n")
    for mutant in chosen:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="mutant-") as scratch:
            apply(mutant, Path(scratch))
            caught = failing_test(mutant, Path(scratch))
        survivors += caught is None
        shown = "**nothing**" if caught is None else f"`{caught}`"
        sys.stdout.write(f"| {mutant.name} | {shown} | {time.monotonic() - began:.0f} |\n")
        sys.stdout.flush()
    sys.stdout.write(f"\n{len(chosen) - survivors} of {len(chosen)} mutants caught\n")
    return 1 if survivors else 0


def apply(mutant: Mutant, folder: Path) -> None:
    """Copy the checkout to `folder` and change it there."""
    skipped = shutil.ignore_patterns(".*", "__pycache__")
    for name in (*PACKAGES, "tests", "tools"):
        shutil.copytree(ROOT / name, folder / name, ignore=skipped)
    shutil.copy(ROOT / "pyproject.toml", folder)
    file = folder / mutant.file
    text = file.read_text()
    if text.count(mutant.old) != 1:
        raise LookupError(f"{mutant.name}: {mutant.file} does not contain it once: {mutant.old}")
    file.write_text(text.replace(mutant.old, mutant.new))


def failing_test(mutant: Mutant, folder: Path) -> str | None:
    """Run the mutant's tests; return the first that fails, None if all pass."""
    paths = [str(folder / name) for name in (*PACKAGES, "tests")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *mutant.tests],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "CI": "true"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    found = re.search(r"^(?:FAILED|ERROR) (?:tests/)?(\S+)", done.stdout, re.MULTILINE)
    if done.returncode not in (0, 1) or (done.returncode == 1 and found is None):
        raise RuntimeError(f"{mutant.name}: pytest did not run:\n{done.stdout}{done.stderr}")
    return found[1] if found else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
