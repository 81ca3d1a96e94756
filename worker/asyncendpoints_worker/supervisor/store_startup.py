"""How a supervisor comes to its store: at once or not at all, or however long that takes."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from asyncendpoints_core.common.backoff import Backoff
from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.store.recovery import release_older

if TYPE_CHECKING:
    from asyncendpoints_core.store.redis import RedisStore
    from asyncendpoints_worker.engine.heartbeat import Heart
    from asyncendpoints_worker.identity import Names

log = logging.getLogger("asyncendpoints.worker")


async def enter(store: RedisStore, heart: Heart, names: Names) -> None:
    """Connect, follow the policy in force, and take back what a predecessor in this pod has left.

    Raises StoreError.
    """
    health = await store.open()
    heart.follow(await store.configure(heart.policy, overwrite=False))
    await release_older(store, names.pod, names.nonce)
    for warning in health.warnings:
        log.warning("Redis: %s", warning)


async def enter_patiently(store: RedisStore, heart: Heart, names: Names) -> None:
    """Enter, waiting out an outage. Raises StoreError for what waiting does not mend.

    For pods: the kubelet starts a container that ends anew after pauses of up to five minutes, and
    those would go on when the store is long back.
    """
    backoff, told = Backoff(), False
    while True:
        try:
            return await enter(store, heart, names)
        except StoreUnavailable as error:
            if not told:
                log.warning("waiting for the store: %s", error)
                told = True
        await asyncio.sleep(backoff.next())
