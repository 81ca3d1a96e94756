"""`asyncendpoints gateway`: the HTTP gateway of one endpoint, on Redis."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from asyncendpoints_cli.files import load_one
from asyncendpoints_cli.roles import read_settings, redis_store, require_redis
from asyncendpoints_core.common.event_loop import run_loop
from asyncendpoints_core.process.settings import Settings
from asyncendpoints_core.process.tracing import flush_traces
from asyncendpoints_core.store.history import record_history
from asyncendpoints_gateway.server.serve import serve

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from asyncendpoints_core.manifest import Loaded


def execute(options: Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    settings = read_settings(options)
    loaded = load_one(settings.endpoint_file)
    return run_loop(_run(loaded, settings, require_redis(settings, "gateway")))


async def _run(loaded: Loaded, settings: Settings, source: Callable[[], str]) -> int:
    """Serve; if Redis is unreachable, wait until it is available."""
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    interrupts = 0

    def interrupted() -> None:
        nonlocal interrupts
        interrupts += 1
        stopping.set()
        if interrupts > 1:
            serving.cancel()

    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    loop.add_signal_handler(signal.SIGINT, interrupted)
    store = redis_store(loaded.endpoint, source)
    record_history(store, settings.history_folder, "gateway")
    serving = asyncio.ensure_future(
        serve(
            loaded.endpoint,
            store,
            settings,
            stopping=stopping,
            folder=loaded.folder,
            # Without an operator, the gateway writes the resource's policy into the store.
            owns_policy=settings.installation_id == Settings().installation_id,
        )
    )
    try:
        await serving
    except asyncio.CancelledError:
        return 130
    finally:
        await store.close()
        await asyncio.to_thread(flush_traces)
    return 0
