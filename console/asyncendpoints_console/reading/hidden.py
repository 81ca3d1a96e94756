"""Hides the secrets of a stored request: values whose names say what they are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, unquote_plus

if TYPE_CHECKING:
    from collections.abc import Mapping

HIDDEN: Final = "***"
_SECRET: Final = re.compile(r"authorization|cookie|token|key|secret|password", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """Return whether the value of that name is not to be shown."""
    return _SECRET.search(name) is not None


def hide(values: Mapping[str, str]) -> dict[str, str]:
    """Return headers or parameters without the values of secrets."""
    return {name: HIDDEN if is_secret(name) else value for name, value in values.items()}


def hide_query(query: str) -> str:
    """Return a query string without the values of secrets."""
    parts = []
    for part in query.split("&"):
        name, equals, _ = part.partition("=")
        parts.append(f"{name}={HIDDEN}" if equals and is_secret(unquote_plus(name)) else part)
    return "&".join(parts)


def hide_path(path: str, params: Mapping[str, str]) -> str:
    """Return a path without the values of those of its parameters that are secrets."""
    secrets = {value for name, value in params.items() if value and is_secret(name)}
    if not secrets:
        return path
    return "/".join(HIDDEN if unquote(part) in secrets else part for part in path.split("/"))
