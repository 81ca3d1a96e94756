"""`asyncendpoints validate`: reports all faults in files, with line, column and field."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from asyncendpoints_cli.extras import export_extra
from asyncendpoints_cli.files import show
from asyncendpoints_core import manifest
from asyncendpoints_core.errors import UsageError

if TYPE_CHECKING:
    from argparse import Namespace

    from asyncendpoints_core.manifest import Loaded


def execute(options: Namespace) -> int:
    """Check the files; return 0 if they are valid, else 2."""
    if options.fix and not options.handlers:
        raise UsageError("--fix writes the schemas of handlers: use --handlers --fix")
    found = manifest.load(options.files, cluster=options.cluster)
    show(found.faults)
    if found.faults:
        return 2
    if options.handlers and not all([_handlers(item, fix=options.fix) for item in found.loaded]):
        return 2
    for item in found.loaded:
        sys.stdout.write(f"{item.file}: {item.endpoint.key} is valid\n")
    return 0


def _handlers(item: Loaded, *, fix: bool) -> bool:
    """Check an endpoint's handlers; with `fix`, write their schemas. Return whether all is well."""
    with export_extra():
        from asyncendpoints_cli.code_first import handler_schemas
    faults, differences = handler_schemas.compare(item)
    if fix and differences:
        handler_schemas.fix(item, differences)
        plural = "" if len(differences) == 1 else "s"
        sys.stdout.write(f"{item.file}: wrote the schemas of {len(differences)} route{plural}\n")
        faults = [fault for fault in faults if fault.location[-1] == "job"]
    show(faults)
    return not faults
