"""The verbs for webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asyncendpoints_core.jobs.records import Job
    from asyncendpoints_core.store.deliveries import (
        DeliveryOutcome,
        DeliveryPage,
        DeliveryState,
        FanOut,
        Leased,
        ReplayStatus,
        WebhookStatus,
    )
    from asyncendpoints_core.store.memory.data import Data


class WebhookVerbs:
    """Part of MemoryStore."""

    _data: Data

    if TYPE_CHECKING:

        def _now(self) -> int: ...

    async def webhook_events(self, limit: int) -> list[Job]:
        """See Store.webhook_events."""
        self._now()
        return self._data.webhooks.events(limit)

    async def fan_out(self, webhooks: int, ends: Sequence[FanOut]) -> int | None:
        """See Store.fan_out."""
        now = self._now()
        if webhooks != self._data.rules.webhooks:
            return None
        return self._data.webhooks.fan_out(ends, now)

    async def lease_deliveries(
        self,
        limit: int,
        lease_ms: int,
        *,
        probes: int,
        per_host: int,
        busy: Sequence[bytes],
        expiry_ms: int,
    ) -> Leased:
        """See Store.lease_deliveries."""
        now = self._now()
        webhooks = self._data.webhooks
        return webhooks.lease(limit, lease_ms, probes, per_host, busy, expiry_ms, now)

    async def settle_deliveries(
        self, outcomes: Sequence[DeliveryOutcome], probe_ms: int
    ) -> list[bool]:
        """See Store.settle_deliveries."""
        now = self._now()
        return [self._data.webhooks.settle(each, probe_ms, now) for each in outcomes]

    async def list_deliveries(
        self, state: DeliveryState, limit: int, cursor: str | None, webhook: str = ""
    ) -> DeliveryPage:
        """See Store.list_deliveries."""
        self._now()
        return self._data.webhooks.listing(state, limit, cursor, webhook)

    async def replay_deliveries(
        self, ids: Sequence[bytes], receivers: Mapping[str, bytes]
    ) -> list[ReplayStatus]:
        """See Store.replay_deliveries."""
        return self._data.webhooks.replay(ids, receivers, self._now())

    async def webhook_status(self) -> WebhookStatus:
        """See Store.webhook_status."""
        return self._data.webhooks.status(self._now())
