"""Where a resource names jobs, and which of these names select none or have no handler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncendpoints_core.common.faults import Location
from asyncendpoints_core.manifest.messages import guess

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from asyncendpoints_core.resource import EndpointSpec

Named = list[tuple[Location, str]]
"""Names of jobs, each with its path in the resource."""


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A name by which jobs are selected and that no route or schedule has.

    `certain`: handlers cannot enqueue such a job either, or the name resembles a known one.
    """

    location: Location
    message: str
    certain: bool


def _created(spec: EndpointSpec) -> Named:
    """Return the jobs of routes and schedules."""
    found: Named = [(("spec", "routes", i, "job"), one.job) for i, one in enumerate(spec.routes)]
    found += [(("spec", "schedules", i, "job"), one.job) for i, one in enumerate(spec.schedules)]
    return found


def _selected(spec: EndpointSpec) -> Named:
    """Return the jobs that limits and webhooks are for."""
    limits = spec.limits.per_job if spec.limits else ()
    found: Named = [
        (("spec", "limits", "perJob", i, "job"), one.job) for i, one in enumerate(limits)
    ]
    for i, webhook in enumerate(spec.webhooks):
        found += [(("spec", "webhooks", i, "jobs", j), job) for j, job in enumerate(webhook.jobs)]
    return found


def unmatched(spec: EndpointSpec) -> list[Unmatched]:
    """Return the names that select nothing but jobs that handlers enqueue, if they can.

    They are no faults: jobs of a route that was removed may still wait.
    """
    known = spec.job_names
    by_handlers = spec.worker.http is None
    found = []
    for location, job in _selected(spec):
        if job not in known:
            hint = guess(job, known)
            source = ", only handlers may enqueue it" if by_handlers else ""
            message = f'no route or schedule has the job "{job}"{source}{hint}'
            found.append(Unmatched(location, message, bool(hint) or not by_handlers))
    return found


def without_handler(
    spec: EndpointSpec, handlers: Collection[str]
) -> Iterator[tuple[Location, str]]:
    """Yield each path that names a job which `handlers` do not have, and what is wrong."""
    for location, job in (*_created(spec), *_selected(spec)):
        if job not in handlers:
            hint = guess(job, handlers)
            yield location, f'{spec.worker.handlers} has no @handler("{job}"){hint}'
