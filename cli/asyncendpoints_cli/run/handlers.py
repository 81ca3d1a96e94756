"""Loads the handlers of an endpoint for `run`: every route and schedule must have one."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from asyncendpoints_core.errors import UsageError
from asyncendpoints_worker.handlers import modules
from asyncendpoints_worker.handlers.target import target_of

if TYPE_CHECKING:
    from pathlib import Path

    from asyncendpoints_core.resource import AsyncEndpoint
    from asyncendpoints_worker.handlers.registry import Registry


def load_handlers(endpoint: AsyncEndpoint, folder: Path) -> Registry | None:
    """Import the handlers of `endpoint`, from `folder` first; None in HTTP mode.

    Raises UsageError if they cannot be imported or called, and for a route, schedule or limit of a
    job without a handler. (In a cluster, workers of another version may have it.)
    """
    module = endpoint.spec.worker.handlers
    if module is None:
        return None
    registry = modules.load([module], [folder])
    target_of(endpoint, registry=registry)
    named = [(f"routes[{i}]", route.job) for i, route in enumerate(endpoint.spec.routes)]
    named += [(f"schedules[{i}]", one.job) for i, one in enumerate(endpoint.spec.schedules)]
    limits = endpoint.spec.limits
    named += [
        (f"limits.perJob[{i}]", one.job) for i, one in enumerate(limits.per_job if limits else ())
    ]
    for place, job in named:
        if job not in registry.handlers:
            close = difflib.get_close_matches(job, registry.handlers, 1)
            meant = f'; did you mean "{close[0]}"?' if close else ""
            raise UsageError(f'spec.{place}.job: {module} has no @handler("{job}"){meant}')
    return registry
