"""`asyncendpoints validate`: reports all faults in files, with line, column and field."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from asyncendpoints_cli.files import show
from asyncendpoints_core import manifest

if TYPE_CHECKING:
    from argparse import Namespace


def execute(options: Namespace) -> int:
    """Check the files; return 0 if they are valid, else 2."""
    found = manifest.load(options.files, cluster=options.cluster)
    show(found.faults)
    if found.faults:
        return 2
    for item in found.loaded:
        sys.stdout.write(f"{item.file}: {item.endpoint.key} is valid\n")
    return 0
