"""Selection of the tests that run in several modes of the gateway's server (see http_mode)."""

from typing import Any

import pytest

ASGI_MODULES = {
    "uvicorn": {
        "test_access",
        "test_bodies",
        "test_enqueue",
        "test_jobs",
        "test_long_poll",
        "test_submit",
        "test_unsent",
    },
    "hypercorn": {"test_jobs", "test_long_poll", "test_submit", "test_unsent"},
}
"""The modules whose tests run on ASGI servers too; the others are about aiohttp's, or processes."""
NOT_ASGI = {
    "test_a_client_that_does_not_read_is_disconnected",
    "test_a_server_on_the_loopback_answers_loopback_names_only",
    "test_listening_on_every_interface_without_tokens_is_logged",
}
"""Tests of what the gateway's own server does by itself."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out all modes but one on Redis: the mode and the store do not depend on each other,
    and one store is enough to show it.
    """
    items[:] = [item for item in items if not _is_redundant(item)]


def _is_redundant(item: pytest.Item) -> bool:
    params: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    mode = params.get("http_mode", "fast path")
    if mode in ASGI_MODULES:
        name = getattr(item, "originalname", "")
        if item.path.stem not in ASGI_MODULES[mode] or name in NOT_ASGI:
            return True
    return mode != "fast path" and params.get("store") == "redis"
