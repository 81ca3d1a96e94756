"""Compares the jobs that a resource names with the handlers of its module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncendpoints_core.manifest.job_names import created, selected
from asyncendpoints_core.manifest.messages import guess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncendpoints_core.common.faults import Location
    from asyncendpoints_core.resource import AsyncEndpoint
    from asyncendpoints_worker.handlers.registry import Registry


def without_handler(endpoint: AsyncEndpoint, registry: Registry) -> Iterator[tuple[Location, str]]:
    """Yield each path of the resource that names a job without a handler, and what is wrong."""
    spec = endpoint.spec
    for location, job in (*created(spec), *selected(spec)):
        if job not in registry.handlers:
            hint = guess(job, registry.handlers)
            yield location, f'{spec.worker.handlers} has no @handler("{job}"){hint}'
