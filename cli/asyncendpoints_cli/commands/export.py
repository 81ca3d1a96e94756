"""`asyncendpoints export`: writes the resource of an Endpoint in code as YAML."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_cli.code_first.find import check_imports, find
from asyncendpoints_cli.code_first.merge import Changes, merge
from asyncendpoints_cli.extras import extra
from asyncendpoints_core.errors import UsageError

if TYPE_CHECKING:
    from argparse import Namespace

    from asyncendpoints_cli.code_first.yaml_file import YamlFile

MAX_APPLIED_BYTES: Final = 262_144
"""What `kubectl apply` can keep in an annotation; `--server-side` needs none."""


def execute(options: Namespace) -> int:
    """Print or write the resource; with --check return 1 if the file differs from the code."""
    endpoint = find(options.endpoint)
    document = endpoint.document()
    if options.image is not None:
        document["spec"]["worker"]["image"] = options.image
    endpoint.resource()
    check_imports(endpoint.declared())
    with extra("export"):
        from asyncendpoints_cli.code_first.yaml_file import YamlFile, new_text
    comment = f"Written by: asyncendpoints export {options.endpoint}"
    file = None if options.output is None else Path(options.output)
    if file is None:
        if options.check or options.prune:
            raise UsageError("--check and --prune need a file: -o FILE")
        sys.stdout.write(new_text(document, comment))
        return 0
    if not file.exists():
        if options.check:
            raise UsageError(f"{file}: no such file; write it without --check")
        return _write(file, new_text(document, f"{comment} -o {file.name}"))
    found = YamlFile.read(file)
    changes = _merged(found, document, prune=options.prune)
    for route in changes.stale:
        done = "removed" if options.prune and not options.check else "--prune removes it"
        sys.stderr.write(f"{file}: {route} has no function in the code; {done}\n")
    if options.check:
        for path in changes.changed:
            sys.stderr.write(f"{file}: {path} differs from the code\n")
        return 1 if changes.changed else 0
    return _write(file, found.text()) if changes.changed else 0


def _merged(file: YamlFile, document: dict[str, Any], *, prune: bool) -> Changes:
    from asyncendpoints_cli.code_first.yaml_file import styled

    into = file.document(document["metadata"]["name"])
    return merge(into, copy.deepcopy(document), styled, prune=prune)


def _write(file: Path, text: str) -> int:
    file.write_text(text, encoding="utf-8")
    sys.stderr.write(f"wrote {file}\n")
    if len(text.encode()) > MAX_APPLIED_BYTES:
        sys.stderr.write(
            f"{file} has more than 256 KiB: apply it with kubectl apply --server-side -f {file}\n"
        )
    return 0
