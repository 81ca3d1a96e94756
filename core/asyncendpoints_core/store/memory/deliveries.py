"""A delivery in memory, and pages of deliveries in the order that Redis has them in."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from asyncendpoints_core.store.deliveries import (
    DELIVERY_ID_BYTES,
    MAX_DELIVERIES_EXAMINED,
    DeliveryCursor,
    DeliveryPage,
    DeliveryState,
    ListedDelivery,
)
from asyncendpoints_core.store.listing import encode_cursor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncendpoints_core.jobs.ids import JobId
    from asyncendpoints_core.jobs.records import Job
    from asyncendpoints_core.store.deliveries import NewDelivery


class Entry:
    """A delivery that waits, is leased, or is dead since `dead_ms`."""

    def __init__(self, new: NewDelivery, job: Job, now: int) -> None:
        """Make it due at once."""
        self.new = new
        self.receiver = new.receiver
        self.job = job
        self.created_ms = self.due_ms = now
        self.tries = self.token = self.dead_ms = self.status = 0

    @property
    def end(self) -> tuple[JobId, int]:
        """Which end of which job it is about."""
        return self.job.id, self.job.revision

    def listed(self, key: bytes) -> ListedDelivery:
        """Return it as listings show it."""
        times = (self.created_ms, self.due_ms, self.dead_ms)
        new = self.new
        return ListedDelivery(key, new.webhook, new.url, self.job, *times, self.tries, self.status)

    def due_member(self, key: bytes) -> bytes:
        """Return the member of `deliveries:due` in Redis, which orders pending ones in listings."""
        return self.receiver + self.due_ms.to_bytes(6) + key


def page(
    entries: Mapping[bytes, Entry],
    state: DeliveryState,
    begin: DeliveryCursor,
    limit: int,
    webhook: str,
) -> DeliveryPage:
    """Return one page of the entries of a state; see Store.list_deliveries."""
    if state is DeliveryState.DEAD:
        order = _dead(entries, begin)
    else:
        own = {key: one for key, one in entries.items() if webhook in ("", one.new.webhook)}
        order = _pending(own, begin)
    found: list[ListedDelivery] = []
    for looked, (_, member) in enumerate(order):
        if len(found) == limit or looked == MAX_DELIVERIES_EXAMINED:
            last = DeliveryCursor(begin.listing, *order[looked - 1])
            return DeliveryPage(tuple(found), encode_cursor(last))
        key = member[-DELIVERY_ID_BYTES:]
        if webhook in ("", entries[key].new.webhook):
            found.append(entries[key].listed(key))
    return DeliveryPage(tuple(found), None)


def _dead(entries: Mapping[bytes, Entry], begin: DeliveryCursor) -> list[tuple[int, bytes]]:
    """Return (when it died, id) of dead deliveries, the newest first."""
    members = ((entry.dead_ms, key) for key, entry in entries.items())
    below = (at for at in members if not begin.member or at < (begin.number, begin.member))
    return heapq.nlargest(MAX_DELIVERIES_EXAMINED + 1, below)


def _pending(entries: Mapping[bytes, Entry], begin: DeliveryCursor) -> list[tuple[int, bytes]]:
    """Return (0, member) of pending deliveries, by receiver, the next that is due first."""
    members = ((0, entry.due_member(key)) for key, entry in entries.items())
    return heapq.nsmallest(
        MAX_DELIVERIES_EXAMINED + 1, (at for at in members if at[1] > begin.member)
    )
