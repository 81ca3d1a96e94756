"""Loads the handlers of an endpoint for `run`: every job that the resource names must have one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncendpoints_core.common.faults import format_path
from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.manifest.job_names import without_handler
from asyncendpoints_worker.handlers import modules
from asyncendpoints_worker.handlers.target import target_of

if TYPE_CHECKING:
    from pathlib import Path

    from asyncendpoints_core.resource import AsyncEndpoint
    from asyncendpoints_worker.handlers.registry import Registry


def load_handlers(endpoint: AsyncEndpoint, folder: Path) -> Registry | None:
    """Import the handlers of `endpoint`, from `folder` first; None in HTTP mode.

    Raises UsageError if they cannot be imported or called, and for a job without a handler. (In a
    cluster, workers of another version may have it.)
    """
    module = endpoint.spec.worker.handlers
    if module is None:
        return None
    registry = modules.load([module], [folder])
    target_of(endpoint, registry=registry)
    for location, reason in without_handler(endpoint.spec, registry.handlers):
        raise UsageError(f"{format_path(location)}: {reason}")
    return registry
