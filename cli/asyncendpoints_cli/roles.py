"""The common startup of gateway, worker and run: settings, logging, the URL of Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.process import settings
from asyncendpoints_core.process.logs import configure_logging, log_uncaught

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from asyncendpoints_core.process.settings import Settings
    from asyncendpoints_core.resource import AsyncEndpoint
    from asyncendpoints_core.store.redis import RedisStore


def read_settings(options: Namespace, *, user_code: bool = False) -> Settings:
    """Read the settings (flag > variable > default) and configure logging; raises UsageError.

    `user_code`: handlers may run in this process.
    """
    flags = {one.name: getattr(options, one.name, None) for one in settings.all_settings()}
    found = settings.load(flags)
    configure_logging(found.log_level, found.log_format, user_code=user_code)
    log_uncaught()
    return found


def require_redis(found: Settings, role: str) -> Callable[[], str]:
    """Return the function that returns the URL of Redis; raises UsageError if it is not set."""
    source = found.redis_source()
    if source is None:
        raise UsageError(
            f"a {role} needs Redis: set --redis URL, $ASYNCENDPOINTS_REDIS_URL or "
            "$ASYNCENDPOINTS_REDIS_URL_FILE"
        )
    check_redis(source)
    return source


def check_redis(source: Callable[[], str]) -> None:
    """Check the URL of Redis at the start; raises UsageError."""
    # The Redis client is slow to import and not needed for jobs in memory.
    from asyncendpoints_core.store.redis.urls import check_url

    check_url(source())


def redis_store(endpoint: AsyncEndpoint, source: Callable[[], str]) -> RedisStore:
    """Return the store of a gateway; it confirms writes as the resource's durability says."""
    # The Redis client is slow to import and not needed for jobs in memory.
    from asyncendpoints_core.store.redis import RedisStore

    return RedisStore(source, endpoint.key, strict=endpoint.spec.redis.durability == "strict")
