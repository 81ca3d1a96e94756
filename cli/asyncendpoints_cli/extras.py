"""Optional dependencies: imported when needed; an error names the extra that installs them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

OPERATOR: Final = frozenset({"kopf", "kubernetes"})


@contextlib.contextmanager
def operator_extra() -> Iterator[None]:
    """Import a module of the operator inside; UsageError when its libraries are not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in OPERATOR:
            raise
        raise UsageError(
            f"{package} is not installed; run: pip install 'asyncendpoints[operator]'"
        ) from None
