"""How a supervisor connects to its store at start: at once or not at all, or waiting for it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from asyncendpoints_core.common.backoff import Backoff
from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.store.recovery import release_older

if TYPE_CHECKING:
    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.store.redis import RedisStore
    from asyncendpoints_worker.engine.heartbeat import Heartbeat
    from asyncendpoints_worker.identity import WorkerIds

log = logging.getLogger("asyncendpoints.worker")


async def open_store(store: RedisStore, heartbeat: Heartbeat, ids: WorkerIds) -> None:
    """Connect, apply the policy in force, and release what a predecessor in this pod has left.

    Raises StoreError.
    """
    health = await store.open()
    heartbeat.apply_policy(await store.configure(heartbeat.policy, overwrite=False))
    await release_older(store, ids.pod, ids.nonce)
    for warning in health.warnings:
        log.warning("Redis: %s", warning)


async def wait_for_store(
    store: RedisStore, heartbeat: Heartbeat, ids: WorkerIds, time: TimeSource
) -> None:
    """Open the store, waiting while it is unavailable. Raises other StoreErrors.

    For pods: the kubelet restarts a container that ends with pauses of up to five minutes, and
    those would continue after the store is available again.
    """
    backoff, logged = Backoff(), False
    while True:
        try:
            return await open_store(store, heartbeat, ids)
        except StoreUnavailable as error:
            if not logged:
                log.warning("waiting for the store: %s", error)
                logged = True
        await time.sleep(backoff.next())
