"""What a cluster asks of a resource beyond what one machine does."""

import re
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.common.faults import Fault

if TYPE_CHECKING:
    from asyncendpoints_core.resource.model import AsyncEndpoint

MAX_NAME_LENGTH: Final = 50
"""Characters of an endpoint's name: what its children add still fits the name of a Service."""

_SERVICE_NAME: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def cluster_faults(endpoint: "AsyncEndpoint") -> tuple[Fault, ...]:
    """Return what keeps a valid endpoint from a cluster; its schema there refuses the same."""
    faults = []
    name = endpoint.metadata.name
    if len(name) > MAX_NAME_LENGTH:
        faults.append(
            Fault(
                ("metadata", "name"),
                f"has {len(name)} characters; {MAX_NAME_LENGTH} fit, because the names of "
                "Services are made from it",
            )
        )
    if not _SERVICE_NAME.fullmatch(name):
        faults.append(
            Fault(
                ("metadata", "name"),
                "must begin with a letter and have no dots, because the names of Services are "
                "made from it",
            )
        )
    if endpoint.spec.worker.image is None:
        faults.append(Fault(("spec", "worker"), "a cluster needs image: the image of your code"))
    first: dict[str, int] = {}
    for index, route in enumerate(endpoint.spec.routes):
        earlier = first.setdefault(route.path, index)
        if earlier != index:
            faults.append(
                Fault(
                    ("spec", "routes", index, "path"),
                    f"is the path of spec.routes[{earlier}] too: in a cluster each path is one "
                    "route; give a parameter another name, or use the methods of one route",
                )
            )
    return tuple(faults)
