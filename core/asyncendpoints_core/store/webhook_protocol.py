"""The verbs for webhooks, a part of the store's protocol; what holds for all is in protocol.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

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


class WebhookStore(Protocol):
    """What gateways and the console need of a store for webhooks."""

    async def webhook_events(self, limit: int) -> list[Job]:
        """Read the oldest ends of jobs that have no deliveries yet; each job as it then was."""
        ...

    async def fan_out(self, webhooks: int, ends: Sequence[FanOut]) -> int | None:
        """Replace ends of jobs, as `webhook_events` returned them, by their deliveries; return how
        many. An end is replaced once, whoever does it. None, and nothing is done, when the policy
        has other `webhooks`; that can be asked without ends as well.
        """
        ...

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
        """Lease up to `limit` deliveries that are due, receivers in turn, at most `per_host` of a
        host with those of `busy` (receivers). A receiver that fails gets one at a time, `probes` in
        all; what has waited for it for `expiry_ms` is dead. What is not settled before the lease
        ends is due again.
        """
        ...

    async def settle_deliveries(
        self, outcomes: Sequence[DeliveryOutcome], probe_ms: int
    ) -> list[bool]:
        """Apply the outcomes of leases; False for one that had ended. A failing receiver gets its
        next probe after `probe_ms` at the latest.
        """
        ...

    async def list_deliveries(
        self, state: DeliveryState, limit: int, cursor: str | None, webhook: str = ""
    ) -> DeliveryPage:
        """List deliveries, of one webhook or of all: pending ones by receiver, the next that is due
        first; dead ones, the newest first. Raises InvalidCursor for a cursor of another listing.

        A call examines at most MAX_DELIVERIES_EXAMINED, and of pending ones for a receiver of
        another webhook only the first: a page may be short, or empty, and have a cursor. Ends of
        jobs without deliveries yet are not listed.
        """
        ...

    async def replay_deliveries(
        self, ids: Sequence[bytes], receivers: Mapping[str, bytes]
    ) -> list[ReplayStatus]:
        """Make dead deliveries due again, for the first try and under the same id. `receivers`, by
        webhook: the receiver's id, or the end of it, which replaces that of the delivery's.
        """
        ...

    async def webhook_status(self) -> WebhookStatus:
        """Read what waits for webhooks, and what is known of receivers."""
        ...
