"""The console beside a gateway, on the loopback addresses of its pod."""

from __future__ import annotations

import asyncio
import logging
from importlib import import_module
from typing import TYPE_CHECKING

from asyncendpoints_core.common.console import PORT
from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.errors import CannotListen

if TYPE_CHECKING:
    from pathlib import Path

    from asyncendpoints_console.server import ConsoleServer
    from asyncendpoints_core.resource import AsyncEndpoint
    from asyncendpoints_core.store.protocol import Store

log = logging.getLogger("asyncendpoints.gateway")


async def start_console(
    endpoint: AsyncEndpoint, store: Store, folder: Path | None, port: int | None
) -> ConsoleServer | None:
    """Serve the endpoint's console with the tokens in `folder`; None if it is off.

    A port that is taken does not end the gateway: the log says that the console is not available.
    """
    if folder is None or not endpoint.spec.gateway.console.enabled:
        return None
    # Here, since most of what they import is for the console alone; in a thread, since requests of
    # clients and probes are answered meanwhile.
    await asyncio.to_thread(import_module, "asyncendpoints_console.server")
    from asyncendpoints_console.server import ConsoleServer
    from asyncendpoints_console.target import target_of
    from asyncendpoints_console.token_files import TokenFiles

    time = SystemTime()
    targets = [target_of(endpoint, store)]
    server = ConsoleServer(lambda: targets, TokenFiles(folder, time), time, scope="endpoint")
    try:
        await server.start(PORT if port is None else port)
    except CannotListen as error:
        log.error("the console is not available: %s", error)
        return None
    log.info("the console listens on %s", server.url)
    return server
