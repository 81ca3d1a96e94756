"""Selection of the tests that run in both modes of the gateway's server (see http_mode)."""

from typing import Any

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out the public interface on Redis: the mode and the store do not depend on each
    other, and one store is enough to show it.
    """
    items[:] = [item for item in items if not _is_redundant(item)]


def _is_redundant(item: pytest.Item) -> bool:
    params: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    return params.get("http_mode") == "public interface" and params.get("store") == "redis"
