"""The console's listener, on the loopback only: every request is checked before it is answered."""

from __future__ import annotations

import errno
import logging
import os
import socket
from typing import TYPE_CHECKING, Final

from aiohttp import web

from asyncendpoints_console import routes
from asyncendpoints_console.access import Access, Role, check_origin
from asyncendpoints_console.actions import ActionRunner
from asyncendpoints_console.audit import Audit
from asyncendpoints_console.pages.render import Pages
from asyncendpoints_console.pages.views import Views
from asyncendpoints_console.refusals import Refusal, invalid_cursor, store_unavailable
from asyncendpoints_console.site import Site
from asyncendpoints_core.common.listening import cannot_listen
from asyncendpoints_core.common.problem_runner import ProblemRunner
from asyncendpoints_core.errors import InvalidCursor, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from asyncendpoints_console.target import Target
    from asyncendpoints_core.common.time_source import TimeSource

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger("asyncendpoints.console")

PORTS_TRIED: Final = 100
MAX_REQUEST_BYTES: Final = 16 * 1_048_576
SHUTDOWN_SECONDS: Final = 2.0
_ADDRESSES: Final = ("127.0.0.1", "::1")
_ONCE: Final = ("Host", "Origin", "Sec-Fetch-Site", "Authorization", "Content-Type")
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class ConsoleServer:
    """Serves the endpoints that `targets` returns, between `start` and `stop`."""

    def __init__(
        self,
        targets: Callable[[], Sequence[Target]],
        tokens: Callable[[], Mapping[Role, str]],
        time: TimeSource,
        *,
        scope: str,
        read_only: bool = False,
    ) -> None:
        """Accept the tokens that `tokens` returns. `scope` says what is served: run, endpoint or
        all.
        """
        self.access = Access(tokens, time)
        self.port = 0
        self._actions = ActionRunner(targets, time)
        self._site = Site(
            targets,
            self.access,
            Audit(time),
            self._actions,
            scope,
            f"{socket.gethostname()}-{os.getpid()}",
            read_only,
            time,
        )
        self._pages = Views(self._site, Pages(time.now_ms))
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Its URL for programs and browsers on this machine."""
        return f"http://127.0.0.1:{self.port}"

    def login_url(self) -> str:
        """Return a URL that opens the console once, logged in with the right to operate."""
        return f"{self.url}/login?code={self.access.new_link(Role.OPERATE)}"

    async def start(self, port: int, *, search: bool = False) -> None:
        """Listen on `port` (0: any free one), with `search` on the next free one if it is taken.

        Raises CannotListen.
        """
        app = web.Application(middlewares=[self._answer], client_max_size=MAX_REQUEST_BYTES)
        routes.add(app.router, self._site, self._pages)
        app.on_response_prepare.append(_add_headers)  # streams begin before they are returned
        runner = ProblemRunner(app, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            self.port = await _listen(runner, port, PORTS_TRIED if search and port else 1)
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        self._actions.start()

    async def stop(self) -> None:
        """Close the port."""
        await self._actions.stop()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check a request, and answer every error as a problem."""
        try:
            _check(request)
            if (request.method, request.path) not in routes.OPEN:
                self._site.authenticate(request)
            response = await handler(request)
        except Refusal as refusal:
            response = self._refused(request, refusal)
        except web.HTTPException as error:
            response = self._refused(request, _as_refusal(error))
        except InvalidCursor:
            response = self._refused(request, invalid_cursor())
        except StoreError as error:
            log.warning("the queue cannot be read: %s", error)
            response = self._refused(request, store_unavailable())
        except Exception:
            log.exception("internal error")
            response = self._refused(request, Refusal("internal", "internal error; see the log"))
        return response

    def _refused(self, request: web.Request, refusal: Refusal) -> web.Response:
        """Return a refusal as a page for a person, else as a problem."""
        if (page := self._pages.refused(request, refusal)) is not None:
            return page
        headers = {"Content-Type": "application/problem+json", **refusal.headers}
        return web.Response(status=refusal.status, body=refusal.body(), headers=headers)


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)


def _check(request: web.Request) -> None:
    for name in _ONCE:
        if len(request.headers.getall(name, ())) > 1:
            raise Refusal("forbidden", f"{name} is given more than once")
    check_origin(request.headers)


def _as_refusal(error: web.HTTPException) -> Refusal:
    match error.status:
        case 405:
            allow = error.headers.get("Allow", "")
            return Refusal(
                "method-not-allowed", f"allowed methods: {allow}", headers={"Allow": allow}
            )
        case 413:
            return Refusal("body-too-large", f"the body exceeds {MAX_REQUEST_BYTES} bytes")
    return Refusal("not-found", "there is nothing at this path")


async def _listen(runner: ProblemRunner, port: int, tries: int) -> int:
    """Listen on a port of both loopback addresses; return it."""
    for number in range(port, port + tries):
        try:
            [first] = await runner.listen(_ADDRESSES[0], number)
        except OSError as error:
            if number + 1 < port + tries:
                continue
            raise cannot_listen(_ADDRESSES[0], port, error, "--console-port") from None
        chosen = int(runner.addresses[0][1])
        if await _listen_v6(runner, chosen):
            return chosen
        await first.stop()
    taken = OSError(errno.EADDRINUSE, "in use")
    raise cannot_listen(_ADDRESSES[1], port, taken, "--console-port")


async def _listen_v6(runner: ProblemRunner, port: int) -> bool:
    """Listen on ::1 too where there is IPv6; return False if another program has the port there."""
    try:
        await runner.listen(_ADDRESSES[1], port)
    except OSError as error:
        return error.errno != errno.EADDRINUSE
    return True
