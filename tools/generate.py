"""Generates files from the code, or checks that they are up to date.

`python -m tools.generate` writes, `python -m tools.generate --check` only compares. To add a file,
add a line to `GENERATORS`: its path, and the "module:function" that returns its text. The function
gets the present text of the file ("" if there is none), so that only a part of a page may be
generated (see `replace_block`).
"""

import argparse
import difflib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import cast

ROOT = Path(__file__).resolve().parent.parent

Render = Callable[[str], str]

GENERATORS: dict[str, str] = {
    "charts/asyncendpoints/README.md": "tools.generators.chart_values:chart_readme",
    "charts/asyncendpoints/files/dashboards/asyncendpoint.json": (
        "tools.generators.dashboards:endpoints"
    ),
    "charts/asyncendpoints/files/crd.yaml": "asyncendpoints_operator.crd.definition:crd_yaml",
    "crds/asyncendpoints.asyncendpoints.io.yaml": "asyncendpoints_operator.crd.definition:crd_yaml",
    "docs/api.md": "tools.generators.api:api_md",
    "docs/cli.md": "tools.generators.command_line:cli_md",
    "docs/lifecycle.md": "tools.generators.lifecycle:lifecycle_md",
    "docs/resource.md": "tools.generators.reference:resource_md",
    "docs/scaling/burst.svg": "tools.generators.scaling:burst",
    "docs/scaling/known-burst.svg": "tools.generators.scaling:known_burst",
    "docs/scaling/long-jobs.svg": "tools.generators.scaling:long_jobs",
    "docs/scaling/outage.svg": "tools.generators.scaling:outage",
    "docs/scaling/pulses.svg": "tools.generators.scaling:pulses",
    "docs/scaling/ramp.svg": "tools.generators.scaling:ramp",
    "docs/scaling/trickle.svg": "tools.generators.scaling:trickle",
    "docs/scaling/two-tenants.svg": "tools.generators.scaling:two_tenants",
    "docs/settings.md": "tools.generators.reference:settings_md",
    "docs/status.md": "tools.generators.status:status_md",
}


def replace_block(text: str, name: str, body: str) -> str:
    """Return `text` with the content of the block `name` replaced by `body`.

    The block is between the lines `<!-- generated: NAME -->` and `<!-- end: NAME -->`. Raises
    ValueError if there is not exactly one such block.
    """
    start, end = f"<!-- generated: {name} -->\n", f"<!-- end: {name} -->"
    pattern = re.compile(re.escape(start) + r".*?" + re.escape(end), re.DOTALL)
    changed, count = pattern.subn(lambda _: f"{start}{body.rstrip()}\n{end}", text)
    if count != 1:
        raise ValueError(f"expected one block {name!r}, found {count}")
    return changed


def is_current(path: str, current: str, wanted: str) -> bool:
    """Return whether the file at `path` is up to date; write the difference to stderr if not."""
    diff = list(
        difflib.unified_diff(
            current.splitlines(), wanted.splitlines(), path, f"{path} (generated)", lineterm=""
        )
    )
    if current != wanted:
        sys.stderr.write("\n".join([*diff[:60], f"{path} is out of date: run  make generate", ""]))
    return current == wanted


def main() -> int:
    """Write or check all generated files; return 1 if a checked file is out of date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args().check
    stale = 0
    for name, source in GENERATORS.items():
        path = ROOT / name
        current = path.read_text(encoding="utf-8") if path.exists() else ""
        wanted = cast("Render", resolve_name(source))(current)
        if check:
            stale += not is_current(name, current, wanted)
        elif current != wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted, encoding="utf-8")
            sys.stdout.write(f"wrote {name}\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
