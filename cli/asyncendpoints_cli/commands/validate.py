"""`asyncendpoints validate`: reports all faults in files, with line, column and field, and those of
Endpoints in code.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from asyncendpoints_cli.extras import extra
from asyncendpoints_cli.files import show
from asyncendpoints_core import manifest
from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.manifest.job_names import unmatched

if TYPE_CHECKING:
    from argparse import Namespace

    from asyncendpoints_core.common.faults import Location
    from asyncendpoints_core.manifest import Loaded
    from asyncendpoints_core.resource import AsyncEndpoint


def execute(options: Namespace) -> int:
    """Check the files; return 0 if they are valid, else 2."""
    if options.fix and not options.handlers:
        raise UsageError("--fix writes the schemas of handlers: use --handlers --fix")
    code = [name for name in options.files if _is_code(name)]
    files = [name for name in options.files if name not in code]
    if code and options.cluster:
        raise UsageError(
            f"{code[0]}: --cluster checks files; write one: asyncendpoints export {code[0]} -o FILE"
        )
    found = manifest.load(files, cluster=options.cluster)
    show(found.faults)
    if found.faults:
        return 2
    if options.handlers and not all([_handlers(item, fix=options.fix) for item in found.loaded]):
        return 2
    for item in found.loaded:
        if not (options.handlers and item.endpoint.spec.worker.handlers):
            show([item.fault(*warning) for warning in _warnings(item.endpoint)])
        sys.stdout.write(f"{item.file}: {item.endpoint.key} is valid\n")
    for name in code:
        _code(name)
    return 0


def _is_code(name: str) -> bool:
    """Return whether it is MODULE:NAME. A path is not, so nothing is imported for it."""
    if ":" not in name or Path(name).exists():
        return False
    from asyncendpoints_cli.code_first.find import is_code

    return is_code(name)


def _code(name: str) -> None:
    """Check an Endpoint in code. Raises UsageError."""
    from asyncendpoints_cli.code_first.find import check_imports, find
    from asyncendpoints_cli.run.handlers import load_handlers

    endpoint = find(name)
    check_imports(endpoint.declared())
    resource = endpoint.resource()
    load_handlers(resource, Path.cwd())
    sys.stdout.write(f"{name}: {resource.key} is valid\n")


def _warnings(endpoint: AsyncEndpoint) -> list[tuple[Location, str]]:
    """Return what is no fault but probably a mistake."""
    return [(each.location, f"warning: {each.message}") for each in unmatched(endpoint.spec)]


def _handlers(item: Loaded, *, fix: bool) -> bool:
    """Check an endpoint's handlers; with `fix`, write their schemas. Return whether all is well."""
    with extra("export"):
        from asyncendpoints_cli.code_first import handler_schemas
    faults, differences = handler_schemas.compare(item)
    if fix and differences:
        handler_schemas.fix(item, differences)
        plural = "" if len(differences) == 1 else "s"
        sys.stdout.write(f"{item.file}: wrote the schemas of {len(differences)} route{plural}\n")
        faults = [fault for fault in faults if fault.location[-1] not in ("schema", "result")]
    show(faults)
    return not faults
