"""Finds an Endpoint by `module:name`, and checks that workers import all of its functions."""

from __future__ import annotations

import difflib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.errors import UsageError
from asyncendpoints_worker.code_first.endpoint import Endpoint
from asyncendpoints_worker.handlers import modules
from asyncendpoints_worker.handlers.isolated import plain_name

if TYPE_CHECKING:
    from asyncendpoints_worker.code_first.declared import Declared

_NAME: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_LIST_JOBS: Final = """\
import json, pathlib, sys
from asyncendpoints_worker.handlers.modules import load
sys.stdout.write("\\n" + json.dumps(sorted(load([sys.argv[1]], [pathlib.Path.cwd()]).handlers)))
"""


def is_code(name: object) -> bool:
    """Return whether an argument is `module:name` rather than a file."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def find(name: str, home: Path | None = None) -> Endpoint:
    """Import `module:name` from `home`, or else the current directory. Raises UsageError."""
    if not is_code(name):
        raise UsageError(f"{name}: write MODULE:NAME, such as jobs:ep")
    module, _, attribute = name.partition(":")
    folder = home or Path.cwd()
    try:
        modules.load([module], [folder])
    except UsageError as error:
        message = str(error).removeprefix("worker.handlers: ")
        raise UsageError(f"{name}: {message}") from error
    loaded = modules.imported(module, folder)
    found = getattr(loaded, attribute, None)
    if not isinstance(found, Endpoint):
        known = [key for key, value in vars(loaded).items() if isinstance(value, Endpoint)]
        close = difflib.get_close_matches(attribute, known, 1) or known[:1]
        hint = f"; did you mean {module}:{close[0]}?" if close else "; it has no Endpoint"
        raise UsageError(f"{name}: {attribute} is not an Endpoint of {module}{hint}")
    return found


def check_imports(declared: Declared) -> None:
    """Check that the Endpoint's module imports every function, as workers import only that module.

    Functions in other modules are looked for in a process that imports nothing else.
    """
    homes = {plain_name(route.declaration.function.__module__) for route in declared.routes}
    if homes <= {declared.module}:
        return
    done = subprocess.run(  # noqa: S603 - this Python, a fixed program
        [sys.executable, "-c", _LIST_JOBS, declared.module],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it ended"])[-1]
        raise UsageError(f"{declared.module} cannot be imported alone: {reason}")
    jobs = json.loads(done.stdout.rpartition("\n")[2])
    for route in declared.routes:
        if route.declaration.name not in jobs:
            home = plain_name(route.declaration.function.__module__)
            raise UsageError(
                f"{route.declaration.location}: workers import {declared.module}, which does not "
                f"import {home}; import it there"
            )
