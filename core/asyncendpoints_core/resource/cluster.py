"""Requirements that a resource must meet in a cluster only."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.common.faults import Fault, Location
from asyncendpoints_core.resource.containers import ADMIN_PORT

if TYPE_CHECKING:
    from asyncendpoints_core.resource.model import AsyncEndpoint

MAX_NAME_LENGTH: Final = 50
"""Characters of an endpoint's name, so that the names of its child objects fit a Service's."""

_DERIVED: Final = "the names of Services are derived from it"
_SERVICE_NAME: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def cluster_faults(endpoint: "AsyncEndpoint") -> tuple[Fault, ...]:
    """Return why a valid endpoint is not valid in a cluster; the CRD rejects the same."""
    return tuple(Fault(location, message) for location, message in _faults(endpoint))


def _faults(endpoint: "AsyncEndpoint") -> Iterator[tuple[Location, str]]:
    name, worker = endpoint.metadata.name, endpoint.spec.worker
    at_name = ("metadata", "name")
    if len(name) > MAX_NAME_LENGTH:
        text = f"has {len(name)} characters, but at most {MAX_NAME_LENGTH} are allowed"
        yield at_name, f"{text}: {_DERIVED}"
    if not _SERVICE_NAME.fullmatch(name):
        yield at_name, f"must start with a letter and must not contain dots: {_DERIVED}"
    if worker.image is None:
        yield ("spec", "worker"), "image is required in a cluster"
    if worker.http is not None and worker.http.port == ADMIN_PORT:
        message = f"{ADMIN_PORT} is the port of the agent beside the container"
        yield ("spec", "worker", "http", "port"), message
    first: dict[str, int] = {}
    for index, route in enumerate(endpoint.spec.routes):
        earlier = first.setdefault(route.path, index)
        if earlier != index:
            yield (
                ("spec", "routes", index, "path"),
                f"duplicates the path of spec.routes[{earlier}]: each path is one route in a "
                "cluster; rename a parameter, or list several methods in one route",
            )
