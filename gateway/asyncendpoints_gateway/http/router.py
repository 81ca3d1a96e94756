"""The gateway's own paths: /jobs and what is below it, /docs and /openapi.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.resource.path_templates import Malformed, split_raw_path
from asyncendpoints_gateway.http.cors import METHODS
from asyncendpoints_gateway.http.problems import Problem, job_not_found, not_found

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from asyncendpoints_core.jobs.ids import JobId

# Paths by their shape (None is a job's id): method → operation.
_JOB: Final = ("jobs", None)
_PATHS: Final[Mapping[tuple[str | None, ...], Mapping[str, str]]] = {
    ("jobs",): {"GET": "list"},
    _JOB: {"GET": "job", "DELETE": "cancel"},
    (*_JOB, "result"): {"GET": "result"},
    (*_JOB, "retry"): {"POST": "retry"},
    ("docs",): {"GET": "docs"},
    ("openapi.json",): {"GET": "openapi"},
}


class Target(NamedTuple):
    """What a request to one of the gateway's own paths is for.

    The operation "options" answers OPTIONS and methods that the path does not support; `allow` is
    the Allow header.
    """

    operation: str
    job_id: JobId | None = None
    allow: str = ""


def own_target(method: str, path: str) -> Target:
    """Return the target of a raw path; raises Problem when it is not one of the gateway's."""
    if path == "*" and method == "OPTIONS":
        return options(METHODS.split(", "))
    if not path.startswith("/"):
        raise not_found()
    segments = split_raw_path(path)
    if isinstance(segments, Malformed):
        raise Problem("invalid-query", segments.detail)
    shape = tuple(None if at == 1 and part else part for at, part in enumerate(segments))
    methods = _PATHS.get(shape)
    if methods is None:
        raise not_found()
    operation = methods.get("GET" if method == "HEAD" else method)
    if operation is None:
        heads = ["HEAD"] if "GET" in methods else []
        return options([*methods, *heads, "OPTIONS"])
    if len(segments) == 1:
        return Target(operation)
    job_id = ids.parse(segments[1])
    if job_id is None:
        raise job_not_found()
    return Target(operation, job_id)


def options(methods: Iterable[str]) -> Target:
    """Return the target for a path that supports `methods`."""
    return Target("options", allow=", ".join(sorted(methods)))


def is_public(method: str, path: str) -> bool:
    """Return whether a request needs no token: the docs page holds nothing of the endpoint."""
    return path == "/docs" and method in {"GET", "HEAD"}


def is_own(path: str) -> bool:
    """Return whether a raw path belongs to the gateway itself, known or not."""
    return path in {"/jobs", "/docs", "/openapi.json"} or path.startswith("/jobs/")
