"""The policy that the gateway uses is the store's, which an operator may change at any time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asyncendpoints_core.common.time_source import ManualClock
from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.jobs.policy import Policy
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_gateway.intake.store_policy import REFRESH_SECONDS, StorePolicy
from support.http.gateway import endpoint


def _policy(retries: int) -> Policy:
    return endpoint(retry={"maxRetries": retries}).spec.policy()


@asynccontextmanager
async def _running(policy: StorePolicy) -> AsyncIterator[None]:
    task = asyncio.create_task(policy.run())
    try:
        await asyncio.wait_for(policy.connected.wait(), 20)
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _refresh(clock: ManualClock) -> None:
    while not clock.waiting:  # noqa: ASYNC110 - the policy waits for the clock, not for an event
        await asyncio.sleep(0)
    clock.advance(REFRESH_SECONDS * 1_000)
    while not clock.waiting:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0)


async def test_the_stores_policy_is_used_and_followed() -> None:
    store, clock = MemoryStore(), ManualClock()
    await store.configure(_policy(0))
    policy = StorePolicy(endpoint(), store, clock, owned=False)
    assert policy.max_attempts == 4
    async with _running(policy):
        assert (policy.current, policy.max_attempts) == (_policy(0), 1)
        await store.configure(_policy(6))
        await _refresh(clock)
        assert (policy.current, policy.max_attempts) == (_policy(6), 7)


async def test_an_owner_replaces_the_stores_policy() -> None:
    store, clock = MemoryStore(), ManualClock()
    await store.configure(_policy(0))
    async with _running(StorePolicy(endpoint(), store, clock, owned=True)):
        assert await store.configure(_policy(9), overwrite=False) == _policy(3)


async def test_an_outage_leaves_the_last_policy_in_force() -> None:
    class Unavailable(MemoryStore):
        async def configure(self, *args: object, **options: object) -> Policy:
            if clock.now_ms() > begun:
                raise StoreUnavailable("no store")
            return _policy(1)

    clock = ManualClock()
    begun = clock.now_ms()
    policy = StorePolicy(endpoint(), Unavailable(), clock, owned=False)
    async with _running(policy):
        await _refresh(clock)
        assert policy.max_attempts == 2
