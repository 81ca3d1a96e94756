"""`asyncendpoints validate`: every fault of files, with file, line, column and field."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from asyncendpoints_cli.files import show
from asyncendpoints_core import manifest

if TYPE_CHECKING:
    from argparse import Namespace


def execute(options: Namespace) -> int:
    """Check the files; 0 when nothing is wrong with them, 2 otherwise."""
    found = manifest.load(options.files, cluster=options.cluster)
    show(found.faults)
    if found.faults:
        return 2
    for item in found.loaded:
        sys.stdout.write(f"{item.file}: {item.endpoint.key} is valid\n")
    return 0
