"""What the console of all endpoints needs: their list in the operator's Redis, and a user there."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from asyncendpoints_core.errors import AsyncEndpointsError
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.redis.endpoint_list import (
    EndpointList,
    ListedEndpoint,
    revision_of,
)
from asyncendpoints_core.store.redis.users import (
    UsersForbidden,
    console_user_of,
    ensure_console_user,
    users,
)
from asyncendpoints_operator.control.endpoint_state import Reconciled
from asyncendpoints_operator.desired.config import document_for
from asyncendpoints_operator.desired.naming import GATEWAY
from asyncendpoints_operator.queues.polled_redis import DEADLINE_SECONDS, PolledRedis
from asyncendpoints_operator.queues.redis_locations import RedisLocation, RedisLocations
from asyncendpoints_operator.queues.registry import Queues

log = logging.getLogger("asyncendpoints.operator")

INTERVAL_SECONDS: Final = 2.0
USER_CHECK_SECONDS: Final = 10.0


class ConsoleList:
    """Keeps the list and the user, while the leader runs `run`.

    `check` raises when this process may not write any more. `password_file` has the user's
    password; without the file there, somebody else makes the user.
    """

    def __init__(
        self,
        check: Callable[[], object],
        reconciled: Mapping[str, Reconciled],
        locations: RedisLocations,
        queues: Queues,
        installation: str,
        password_file: Path,
        *,
        acl: bool,
    ) -> None:
        self._check, self._reconciled = check, reconciled
        self._locations, self._queues = locations, queues
        self._installation = installation
        self._password_file = password_file if acl else None
        self._documents: dict[str, tuple[AsyncEndpoint, ListedEndpoint]] = {}
        self._revision = ""  # of these documents, "" until it is needed
        self._user: tuple[object, ...] = ()  # what it was made with
        self._user_checked = 0.0

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            await self.keep()

    async def keep(self) -> None:
        """Write what is missing or has changed."""
        own = self._locations.own()
        if not isinstance(own, RedisLocation):
            return
        redis = self._queues.poll(own).redis
        if not redis.up:
            return
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await self._write(redis)
                await self._ensure_user(redis)
        except (AsyncEndpointsError, UsersForbidden, TimeoutError) as error:
            log.warning("%s: nothing is kept for the console: %s", redis.identity, error)

    async def _write(self, redis: PolledRedis) -> None:
        """Write the list if the one in Redis is another, such as after a loss of its data."""
        self._update_documents()
        listed = [each for _, each in self._documents.values()]
        self._revision = self._revision or revision_of(listed)
        kept = EndpointList(redis.connection, self._installation)
        if await kept.revision() != self._revision:
            self._check()
            await kept.write(listed)

    def _update_documents(self) -> None:
        """Take up what has changed; the same resource is the same object."""
        found: dict[str, tuple[AsyncEndpoint, ListedEndpoint]] = {}
        for key, known in sorted(self._reconciled.items()):
            endpoint = known.resource.endpoint
            if endpoint is None:
                continue
            before = self._documents.get(key)
            if before is None or before[0] is not endpoint:
                before = (endpoint, _listed(endpoint))
            found[key] = before
        if found != self._documents:
            self._revision = ""
        self._documents = found

    async def _ensure_user(self, redis: PolledRedis) -> None:
        """Make the user, and again if the server may have lost it or there is another namespace."""
        if self._password_file is None or not self._password_file.exists():
            return
        password = self._password_file.read_text().strip()
        namespaces = frozenset(key.partition("/")[0] for key in self._documents)
        wanted = (redis.location.name, redis.connects, password, namespaces)
        now = asyncio.get_running_loop().time()
        if wanted == self._user and now - self._user_checked < USER_CHECK_SECONDS:
            return
        present = console_user_of(self._installation) in await users(redis.connection)
        if wanted != self._user or not present:
            self._check()
            await ensure_console_user(redis.connection, self._installation, password, namespaces)
            log.info("the Redis user of the console of all endpoints is made")
        self._user, self._user_checked = wanted, now


def _listed(endpoint: AsyncEndpoint) -> ListedEndpoint:
    redis = endpoint.spec.redis
    own = redis.url is None and redis.secret_ref is None
    text = "" if own else "its queue is on a Redis of its own, which this console does not read"
    return ListedEndpoint(document_for(endpoint, GATEWAY), text)
