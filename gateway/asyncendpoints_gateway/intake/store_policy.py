"""The connection to the store, and the queue's policy as the store has it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.common.backoff import Backoff
from asyncendpoints_core.errors import StoreError, StoreUnavailable
from asyncendpoints_core.jobs.policy import WEBHOOK_PENDING

if TYPE_CHECKING:
    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.jobs.policy import Policy
    from asyncendpoints_core.resource import AsyncEndpoint
    from asyncendpoints_core.store.protocol import Store

log = logging.getLogger("asyncendpoints.gateway")

RECONNECT_SECONDS: Final = (0.5, 2.0)
REFRESH_SECONDS: Final = 5.0


class StorePolicy:
    """Connects to the store, then reads the policy every few seconds: an operator may change it
    while the gateway runs. Until it is read, the policy is the endpoint's own.
    """

    def __init__(
        self,
        endpoint: AsyncEndpoint,
        store: Store,
        time: TimeSource,
        *,
        owned: bool,
        webhook_pending: int = WEBHOOK_PENDING,
    ) -> None:
        """Prepare. `owned`: write the endpoint's limits and `suspend` to the store, replacing what
        is there. In a cluster the operator does that.
        """
        self._spec = endpoint.spec
        self._store = store
        self._time = time
        self._owned = owned
        self.connected = asyncio.Event()
        self.problem = "the store has not been reached yet"
        self._use(endpoint.spec.policy(webhook_pending))

    def _use(self, policy: Policy) -> None:
        self.current = policy
        self.max_attempts = policy.retry.max_attempts

    async def run(self) -> None:
        """Connect, however long that takes, then keep the policy up to date until cancelled."""
        await self._connect()
        while True:
            await self._time.sleep(REFRESH_SECONDS)
            try:
                self._use(await self._store.configure(self.current, overwrite=False))
            except StoreError as error:
                log.debug("the policy was not read: %s", error)
            except Exception:
                log.exception("reading the policy failed")

    async def _connect(self) -> None:
        logged, backoff = False, Backoff(*RECONNECT_SECONDS)
        while True:
            try:
                health = await self._store.open()
                self._use(await self._store.configure(self.current, overwrite=self._owned))
                if self._owned:
                    await self._store.suspend(self._spec.suspend)
            except StoreUnavailable as error:
                self.problem = str(error)
                if not logged:
                    log.warning("waiting for the store: %s", error)
                    logged = True
            except StoreError as error:
                self.problem = str(error)
                log.exception("the store cannot be used")
            else:
                log.info("connected to the store: %s", health.server)
                for warning in health.warnings:
                    log.warning("the store: %s", warning)
                self.connected.set()
                return
            await self._time.sleep(backoff.next())
