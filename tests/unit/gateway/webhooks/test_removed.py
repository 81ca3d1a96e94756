"""Deliveries to a webhook that the resource does not have any more."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from asyncendpoints_core.store.deliveries import (
    DeliveryEnd,
    DeliveryOutcome,
    FanOut,
    NewDelivery,
)
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_gateway.webhooks.addresses import AddressRules
from asyncendpoints_gateway.webhooks.delivery import EXPIRY_MS, WAIT_MS, Deliveries, Source
from asyncendpoints_gateway.webhooks.sending import Sender, SystemLookup
from support.store.stores import START_MS, SetTime, drain, hand, new, policy, put
from support.store.work import endpoint


class Recorded(MemoryStore):
    """A store that passes the outcomes of deliveries on."""

    def __init__(self, time: SetTime) -> None:
        super().__init__(time)
        self.outcomes: asyncio.Queue[DeliveryOutcome] = asyncio.Queue()

    async def settle_deliveries(
        self, outcomes: Sequence[DeliveryOutcome], probe_ms: int
    ) -> list[bool]:
        applied = await super().settle_deliveries(outcomes, probe_ms)
        for outcome in outcomes:
            self.outcomes.put_nowait(outcome)
        return applied


async def test_they_wait_for_gateways_that_know_it_and_are_dead_in_the_end() -> None:
    clock = SetTime(START_MS)
    store = Recorded(clock)
    await store.open()
    await store.configure(policy(webhooks=1, webhook_states=7))
    await put(store, new())
    await drain(store, await hand(store))
    [event] = await store.webhook_events(10)
    await store.fan_out(1, [FanOut(event, (NewDelivery(b"1" * 16, b"2" * 8, "removed"),))])
    sender = Sender(AddressRules(), clock, SystemLookup())
    source = Source(endpoint(), "", store)
    deliveries = Deliveries(source, (), sender, clock, lambda *_: None, lambda _: None)

    async def next_outcome() -> DeliveryOutcome:
        return await asyncio.wait_for(store.outcomes.get(), 20)

    running = asyncio.create_task(deliveries.run())
    first = await next_outcome()
    clock.advance(WAIT_MS)
    second = await next_outcome()
    assert [each.end for each in (first, second)] == [DeliveryEnd.RETURNED] * 2
    status = await store.webhook_status()
    assert (status.pending, status.dead) == (1, 0)

    clock.advance(EXPIRY_MS)
    third = await next_outcome()
    assert third.end is DeliveryEnd.DEAD
    status = await store.webhook_status()
    assert (status.pending, status.dead) == (0, 1)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await store.close()
