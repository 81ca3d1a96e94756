"""What a console shows: endpoints, each with its store."""

from __future__ import annotations

from dataclasses import dataclass

from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.protocol import Store


@dataclass(frozen=True, slots=True)
class Target:
    """One endpoint. `bodies`: whether bodies and results may be read. `figures_only`: nothing of
    single jobs may. `elsewhere`: why `store` is not that of its queue, "" if it is.
    """

    endpoint: AsyncEndpoint
    store: Store
    read_only: bool = False
    bodies: bool = True
    figures_only: bool = False
    elsewhere: str = ""

    @property
    def namespace(self) -> str:
        """The endpoint's namespace."""
        return self.key.partition("/")[0]

    @property
    def name(self) -> str:
        """The endpoint's name."""
        return self.endpoint.name

    @property
    def key(self) -> str:
        """The endpoint's key: namespace/name."""
        return self.endpoint.key


def target_of(endpoint: AsyncEndpoint, store: Store) -> Target:
    """Return the target of an endpoint, as its gateway.console allows."""
    console = endpoint.spec.gateway.console
    return Target(endpoint, store, read_only=console.read_only, bodies=console.bodies)
