"""What gateway, worker and run share before they start: settings, logging, a Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.process import settings
from asyncendpoints_core.process.telemetry import configure_logging

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from asyncendpoints_core.process.settings import Settings

NEEDS_REDIS = (
    "needs a Redis: --redis URL, $ASYNCENDPOINTS_REDIS_URL or $ASYNCENDPOINTS_REDIS_URL_FILE"
)


def read_settings(options: Namespace) -> Settings:
    """Read the settings (flag > variable > default) and set the logs up; raises UsageError."""
    flags = {one.name: getattr(options, one.name, None) for one in settings.all_settings()}
    found = settings.load(flags)
    configure_logging(found.log_level, found.log_format)
    return found


def require_redis(found: Settings, role: str) -> Callable[[], str]:
    """Return what gives the URL of Redis; UsageError when there is none to give."""
    source = found.redis_source()
    if source is None:
        raise UsageError(f"a {role} {NEEDS_REDIS}")
    source()
    return source
