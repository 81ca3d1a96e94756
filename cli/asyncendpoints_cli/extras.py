"""Parts that an extra installs: imported when needed, missing in one line with the command."""

from __future__ import annotations

import importlib
from typing import Any, Final

from asyncendpoints_core.errors import UsageError

OPERATOR: Final = frozenset({"kopf", "kubernetes"})


def load_operator(module: str) -> Any:
    """Import a module of the operator; UsageError when its libraries are not installed."""
    try:
        return importlib.import_module(f"asyncendpoints_operator.{module}")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in OPERATOR:
            raise
        raise UsageError(
            f"{package} is not installed; run: pip install 'asyncendpoints[operator]'"
        ) from None
