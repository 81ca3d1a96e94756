"""What importing a handler's decorator costs beyond starting Python, and the size of each package.

Starts of the two interpreters alternate; medians count.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support.clients.typescript import packed
from support.paths import ROOT

PROGRAMS = {"python": "pass", "import": "from asyncendpoints import handler"}


def start_ms(program: str) -> float:
    """Return how long an interpreter runs for a program."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT / "tests")
    return (time.perf_counter() - began) * 1000


def imports(rounds: int) -> dict[str, float]:
    """Return medians in milliseconds, and that of the differences."""
    pairs = [[start_ms(program) for program in PROGRAMS.values()] for _ in range(rounds + 1)][1:]
    bare, whole = zip(*pairs, strict=True)
    return {
        "python_ms": statistics.median(bare),
        "with_import_ms": statistics.median(whole),
        "import_ms": statistics.median(b - a for a, b in pairs),
    }


def sizes() -> dict[str, float]:
    """Return the sizes of both wheels and of the npm package, in KiB."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for project in (ROOT, ROOT / "client"):
            build = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder)
            subprocess.run([*build, project], check=True, capture_output=True)
        npm = packed(folder)
        found = {"npm_kib": npm.stat().st_size / 1024}
        for wheel in folder.glob("*.whl"):
            kind = "client" if wheel.name.startswith("asyncendpoints_client") else "wheel"
            found[f"{kind}_kib"] = wheel.stat().st_size / 1024
        return found


def main() -> None:
    """Parse the command line, measure, print one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    print(json.dumps(imports(parser.parse_args().rounds) | sizes()))


if __name__ == "__main__":
    main()
