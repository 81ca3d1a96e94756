"""Optional dependencies: imported when needed; an error names the extra that installs them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OPERATOR: Final = {"kopf": "kopf", "kubernetes": "kubernetes"}
"""The distributions of an extra, by the name of their package."""
EXPORT: Final = {"ruamel": "ruamel.yaml"}


def operator_extra() -> contextlib.AbstractContextManager[None]:
    """Import a module of the operator inside; UsageError when its libraries are not installed."""
    return _extra("operator", OPERATOR)


def export_extra() -> contextlib.AbstractContextManager[None]:
    """Import a module inside that writes YAML; UsageError when ruamel.yaml is not installed."""
    return _extra("export", EXPORT)


@contextlib.contextmanager
def _extra(name: str, packages: Mapping[str, str]) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in packages:
            raise
        raise UsageError(
            f"{packages[package]} is not installed; run: pip install 'asyncendpoints[{name}]'"
        ) from None
