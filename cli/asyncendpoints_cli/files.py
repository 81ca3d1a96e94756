"""Loads the endpoint files of a command line, with all faults on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from asyncendpoints_core import manifest
from asyncendpoints_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from asyncendpoints_core.common.faults import Fault
    from asyncendpoints_core.manifest import Loaded


def show(faults: Sequence[Fault]) -> None:
    """Write each fault to stderr, one per line."""
    for fault in faults:
        sys.stderr.write(fault.render() + "\n")


def load_all(files: Sequence[str | Path]) -> tuple[Loaded, ...]:
    """Load every endpoint of the files; on faults, show all of them and raise UsageError."""
    found = manifest.load(files)
    if found.faults:
        show(found.faults)
        count = len(found.faults)
        names = ", ".join(dict.fromkeys(fault.file for fault in found.faults))
        raise UsageError(f"{count} fault{'s' if count > 1 else ''} in {names}")
    return found.loaded


def load_one(file: Path | None) -> Loaded:
    """Load the one endpoint that a gateway or worker serves."""
    if file is None:
        raise UsageError("no endpoint: set --endpoint FILE or $ASYNCENDPOINTS_ENDPOINT_FILE")
    loaded = load_all([file])
    if len(loaded) != 1:
        names = ", ".join(item.endpoint.name for item in loaded)
        raise UsageError(f"{file}: must contain one endpoint, but has {len(loaded)} ({names})")
    return loaded[0]
