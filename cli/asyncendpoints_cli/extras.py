"""Optional dependencies: imported when needed; an error names the extra that installs them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

EXTRAS: Final = {
    "export": {"ruamel": "ruamel.yaml"},
    "operator": {"kopf": "kopf", "kubernetes": "kubernetes"},
}
"""The distributions of each extra, by the name of their package."""


@contextlib.contextmanager
def extra(name: str) -> Iterator[None]:
    """Import a module that needs an extra inside; UsageError when it is not installed."""
    packages = EXTRAS[name]
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in packages:
            raise
        raise UsageError(
            f"{packages[package]} is not installed; run: pip install 'asyncendpoints[{name}]'"
        ) from None
