"""The verbs for webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncendpoints_core.store.memory.base import MemoryBase

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


class WebhookVerbs(MemoryBase):
    """Part of MemoryStore."""

    async def webhook_events(self, limit: int) -> list[Job]:
        self._now()
        return self._data.webhooks.events(limit)

    async def fan_out(self, webhooks: int, ends: Sequence[FanOut]) -> int | None:
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
        now = self._now()
        webhooks = self._data.webhooks
        return webhooks.lease(limit, lease_ms, probes, per_host, busy, expiry_ms, now)

    async def settle_deliveries(
        self, outcomes: Sequence[DeliveryOutcome], probe_ms: int
    ) -> list[bool]:
        now = self._now()
        return [self._data.webhooks.settle(each, probe_ms, now) for each in outcomes]

    async def list_deliveries(
        self, state: DeliveryState, limit: int, cursor: str | None, webhook: str = ""
    ) -> DeliveryPage:
        self._now()
        return self._data.webhooks.listing(state, limit, cursor, webhook)

    async def replay_deliveries(
        self, ids: Sequence[bytes], receivers: Mapping[str, bytes]
    ) -> list[ReplayStatus]:
        return self._data.webhooks.replay(ids, receivers, self._now())

    async def webhook_status(self) -> WebhookStatus:
        return self._data.webhooks.status(self._now())
