"""Reading the files of a command line: endpoints, or every fault on stderr."""

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
    """Write each fault as one line to stderr."""
    for fault in faults:
        sys.stderr.write(fault.render() + "\n")


def load_all(files: Sequence[str | Path]) -> tuple[Loaded, ...]:
    """Load every endpoint of the files; with any fault, show them all and raise UsageError."""
    found = manifest.load(files)
    if found.faults:
        show(found.faults)
        count = len(found.faults)
        raise UsageError(f"{count} fault{'s' if count > 1 else ''} in {_names(found.faults)}")
    return found.loaded


def load_one(file: Path | None) -> Loaded:
    """Load the one endpoint that a gateway or worker serves."""
    if file is None:
        raise UsageError("which endpoint? give --endpoint FILE or $ASYNCENDPOINTS_ENDPOINT_FILE")
    loaded = load_all([file])
    if len(loaded) != 1:
        names = ", ".join(item.endpoint.name for item in loaded)
        raise UsageError(f"{file}: holds {len(loaded)} endpoints ({names}), and one is served")
    return loaded[0]


def _names(faults: Sequence[Fault]) -> str:
    return ", ".join(dict.fromkeys(fault.file for fault in faults))
