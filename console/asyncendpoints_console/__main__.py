"""`python -m asyncendpoints_console`: the console of all endpoints of an installation.

Its pod has no access to the API server: what there is, it reads in the operator's Redis.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from asyncendpoints_console.all_endpoints import AllEndpoints
from asyncendpoints_console.server import ConsoleServer
from asyncendpoints_console.token_files import TokenFiles
from asyncendpoints_core.common.admin_server import DEFAULT_PORT, AdminServer
from asyncendpoints_core.common.console import PORT
from asyncendpoints_core.common.event_loop import run_loop
from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.errors import CannotListen, UsageError
from asyncendpoints_core.process import settings
from asyncendpoints_core.process.logs import configure_logging, log_uncaught, write_error

if TYPE_CHECKING:
    from asyncendpoints_core.process.settings import Settings

log = logging.getLogger("asyncendpoints.console")


def main() -> int:
    """Serve until SIGTERM; the status is 1 for a port that is taken, 2 for a wrong setting."""
    try:
        found = settings.load()
        configure_logging(found.log_level, found.log_format)
        log_uncaught()
        return run_loop(_run(found))
    except UsageError as error:
        write_error(str(error))
        return 2
    except CannotListen as error:
        write_error(str(error))
        return 1


async def _run(found: Settings) -> int:
    source, folder = found.redis_source(), found.console_folder
    if source is None or folder is None:
        raise UsageError(
            "set ASYNCENDPOINTS_REDIS_URL_FILE and ASYNCENDPOINTS_CONSOLE_FOLDER, as the chart does"
        )
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    time = SystemTime()
    endpoints = AllEndpoints(source, found.installation_id, time, bodies=found.console_bodies)
    server = ConsoleServer(
        *(endpoints, TokenFiles(folder, time), time),
        scope="all",
        read_only=found.console_read_only,
    )
    admin = AdminServer(
        found.admin_host or "127.0.0.1",
        DEFAULT_PORT if found.admin_port is None else found.admin_port,
        CollectorRegistry(),
        lambda: f"not ready: {endpoints.problem}" if endpoints.problem else "",
    )
    reading = asyncio.create_task(endpoints.run())
    try:
        await admin.start()
        await server.start(PORT if found.console_port is None else found.console_port)
        log.info("the console listens on %s", server.url)
        await stopping.wait()
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await server.stop()
        await admin.stop()
        await endpoints.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
