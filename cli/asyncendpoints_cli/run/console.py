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
    """Serves the console of all endpoints of a `run`, between `start` and `stop`."""

    def __init__(self, services: Callable[[], Sequence[EndpointService]]) -> None:
        """Show what `services` returns at each moment."""
        self._tokens = {role: new_token() for role in Role}
        self._server = ConsoleServer(
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

    @property
    def url(self) -> str:
        """Its URL, which requires a token or a login."""
        return self._server.url

    def login_url(self) -> str:
        """Return a URL that opens it once, logged in."""
        return self._server.login_url()

    async def start(self, port: int | None) -> None:
        """Listen on `port`; without one on the default, or the next free one.

        Raises CannotListen. Without its file the console works, but commands do not find it.
        """
        await self._server.start(PORT if port is None else port, search=port is None)
        running = runtime_file.Running(
            self.url, self._tokens[Role.VIEW], self._tokens[Role.OPERATE], os.getpid()
        )
        try:
            folder = runtime_file.folder(os.environ)
            self._file = runtime_file.RuntimeFile(folder, self._server.port, running)
        except (OSError, UsageError) as error:
            log.warning("commands will not find this console: %s", error)

    async def stop(self) -> None:
        """Close the port and remove the file."""
        if self._file is not None:
            self._file.remove()
        await self._server.stop()
