"""The endpoints of an installation, as the operator lists them in its Redis."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from asyncendpoints_console.target import Target
from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.redis import RedisConnection, RedisStore
from asyncendpoints_core.store.redis.endpoint_list import EndpointList

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.store.redis.endpoint_list import ListedEndpoint

log = logging.getLogger("asyncendpoints.console")

READ_SECONDS: Final = 2.0
"""Between two looks for another list; each is one short call."""


class AllEndpoints:
    """What the console of all endpoints shows, read while `run` runs.

    `problem` says why there is nothing to show, "" once the list was read.
    """

    def __init__(
        self, source: Callable[[], str], installation: str, time: TimeSource, *, bodies: bool
    ) -> None:
        """Connect to the Redis at the URL that `source` returns. Without `bodies` single jobs are
        not shown.
        """
        self._connection = RedisConnection(source)
        self._list = EndpointList(self._connection, installation)
        self._time, self._bodies = time, bodies
        self._revision = ""
        self._targets: list[Target] = []
        self.problem = "the list of endpoints has not been read yet"

    def __call__(self) -> Sequence[Target]:
        """Return the endpoints as last read."""
        return self._targets

    async def run(self) -> None:
        """Read the list whenever it has changed, until cancelled."""
        while True:
            try:
                await self._read()
                self.problem = "" if self._revision else "the operator has listed no endpoints yet"
            except StoreError as error:
                if not self.problem:
                    log.warning("the list of endpoints cannot be read: %s", error)
                self.problem = str(error) or "Redis cannot be reached"
            await self._time.sleep(READ_SECONDS)

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()

    async def _read(self) -> None:
        revision = await self._list.revision()
        if revision != self._revision:
            found = [self._target(each) for each in await self._list.read()]
            self._targets = [target for target in found if target is not None]
            self._revision = revision
            log.info("the console shows %d endpoints", len(self._targets))

    def _target(self, listed: ListedEndpoint) -> Target | None:
        """Return an endpoint, None if its resource disables its console."""
        elsewhere = listed.elsewhere
        try:
            endpoint = AsyncEndpoint.parse(listed.resource)
        except ValidationError:
            endpoint = _nameless(listed)
            elsewhere = "its resource is of another version than this console"
        console = endpoint.spec.gateway.console
        if not console.enabled:
            return None
        strict = endpoint.spec.redis.durability == "strict"
        return Target(
            endpoint,
            RedisStore(self._connection, endpoint.key, strict=strict),
            read_only=console.read_only,
            bodies=console.bodies and self._bodies,
            figures_only=not self._bodies,
            elsewhere=elsewhere,
        )


def _nameless(listed: ListedEndpoint) -> AsyncEndpoint:
    """Return an endpoint of which the name alone is known."""
    return AsyncEndpoint.parse(
        {
            "apiVersion": "asyncendpoints.io/v1alpha1",
            "kind": "AsyncEndpoint",
            "metadata": listed.resource["metadata"],
            "spec": {"routes": [{"path": "/", "job": "unknown"}], "worker": {"handlers": "none"}},
        }
    )
