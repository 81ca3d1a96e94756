"""The console of `run`: its tokens, and the file by which commands on this machine find it."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from asyncendpoints_console import runtime_file
from asyncendpoints_console.access import Role, new_token
from asyncendpoints_console.server import ConsoleServer
from asyncendpoints_console.target import target_of
from asyncendpoints_core.common.console import PORT
from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncendpoints_cli.run.endpoint_service import EndpointService

log = logging.getLogger("asyncendpoints.run")


class RunConsole:
    """Serves the console of what `services` returns at each moment, between `start` and `stop`."""

    def __init__(self, services: Callable[[], Sequence[EndpointService]]) -> None:
        self._tokens = {role: new_token() for role in Role}
        self.server = ConsoleServer(
            lambda: [
                target_of(service.loaded.endpoint, service.store)
                for service in services()
                if service.loaded.endpoint.spec.gateway.console.enabled
            ],
            lambda: self._tokens,
            SystemTime(),
            scope="run",
        )
        self._file: runtime_file.RuntimeFile | None = None

    async def start(self, port: int | None) -> None:
        """Listen on `port`; without one on the default, or the next free one.

        Raises CannotListen. Without its file the console works, but commands do not find it.
        """
        await self.server.start(PORT if port is None else port, search=port is None)
        running = runtime_file.Running(
            self.server.url, self._tokens[Role.VIEW], self._tokens[Role.OPERATE], os.getpid()
        )
        try:
            folder = runtime_file.folder(os.environ)
            self._file = runtime_file.RuntimeFile(folder, self.server.port, running)
        except (OSError, UsageError) as error:
            log.warning("commands will not find this console: %s", error)

    async def stop(self) -> None:
        """Close the port and remove the file."""
        if self._file is not None:
            self._file.remove()
        await self.server.stop()
