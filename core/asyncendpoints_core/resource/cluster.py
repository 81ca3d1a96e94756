"""Requirements that a resource must meet in a cluster only."""

import re
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.common.faults import Fault
from asyncendpoints_core.resource.containers import ADMIN_PORT

if TYPE_CHECKING:
    from asyncendpoints_core.resource.model import AsyncEndpoint

MAX_NAME_LENGTH: Final = 50
"""Characters of an endpoint's name, so that the names of its child objects fit a Service's."""

_SERVICE_NAME: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def cluster_faults(endpoint: "AsyncEndpoint") -> tuple[Fault, ...]:
    """Return why a valid endpoint is not valid in a cluster; the CRD rejects the same."""
    faults = _name_faults(endpoint.metadata.name)
    if endpoint.spec.worker.image is None:
        faults.append(Fault(("spec", "worker"), "image is required in a cluster"))
    http = endpoint.spec.worker.http
    if http is not None and http.port == ADMIN_PORT:
        faults.append(
            Fault(
                ("spec", "worker", "http", "port"),
                f"{ADMIN_PORT} is the port of the agent beside the container",
            )
        )
    first: dict[str, int] = {}
    for index, route in enumerate(endpoint.spec.routes):
        earlier = first.setdefault(route.path, index)
        if earlier != index:
            faults.append(
                Fault(
                    ("spec", "routes", index, "path"),
                    f"duplicates the path of spec.routes[{earlier}]: each path is one route in a "
                    "cluster; rename a parameter, or list several methods in one route",
                )
            )
    return tuple(faults)


def _name_faults(name: str) -> list[Fault]:
    faults = []
    if len(name) > MAX_NAME_LENGTH:
        faults.append(
            Fault(
                ("metadata", "name"),
                f"has {len(name)} characters, but at most {MAX_NAME_LENGTH} are allowed: the names "
                "of Services are derived from it",
            )
        )
    if not _SERVICE_NAME.fullmatch(name):
        faults.append(
            Fault(
                ("metadata", "name"),
                "must start with a letter and must not contain dots: the names of Services are "
                "derived from it",
            )
        )
    return faults
