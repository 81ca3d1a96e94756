"""ASGI's lifespan protocol: for an application that runs by itself, or around another one."""

from __future__ import annotations

import logging
import traceback
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from asyncendpoints_gateway.server.asgi.types import (
        Application,
        Message,
        Receive,
        Scope,
        Send,
    )

    Lifespan = Callable[[], AbstractAsyncContextManager[None]]

log = logging.getLogger("asyncendpoints.gateway")

_STARTED: Final = "lifespan.startup.complete"
_NOT_STARTED: Final = "lifespan.startup.failed"


async def run_lifespan(
    lifespan: Lifespan, app: Application | None, scope: Scope, receive: Receive, send: Send
) -> None:
    """Keep `lifespan` open from the server's startup message to its shutdown message.

    It is inside the lifespan of `app`: handlers end before what the application opened is closed.
    """
    around = _Around(lifespan, receive, send)
    if app is not None and await around.run(app, scope):
        return
    if not around.received:
        await receive()
    started = False
    try:
        async with lifespan():
            started = True
            await send({"type": _STARTED})
            await receive()
    except Exception as error:
        kind = "lifespan.shutdown.failed" if started else _NOT_STARTED
        await send({"type": kind, "message": _text(error)})
    else:
        await send({"type": "lifespan.shutdown.complete"})


def _text(error: Exception) -> str:
    """Return what servers log."""
    if isinstance(error, UsageError):
        return str(error)
    return "".join(traceback.format_exception(error))


class _Around:
    """The messages between a server and an application, with a lifespan inside."""

    def __init__(self, lifespan: Lifespan, receive: Receive, send: Send) -> None:
        self._lifespan = lifespan
        self._receive_outer = receive
        self._send_outer = send
        self._stack = AsyncExitStack()
        self._answered = False
        self._failed = False
        self.received = False

    async def run(self, app: Application, scope: Scope) -> bool:
        """Run the application's lifespan; False if it has none."""
        async with self._stack:
            try:
                await app(scope, self._receive, self._send)
            except Exception:
                if self._answered:
                    raise
                log.debug("the application has no lifespan", exc_info=True)
        return self._answered

    async def _receive(self) -> Message:
        if self._failed:
            return {"type": "lifespan.shutdown"}
        message = await self._receive_outer()
        if self.received:
            await self._stack.aclose()
        self.received = True
        return message

    async def _send(self, message: Message) -> None:
        if self._failed:
            return  # the server knows, and the application ends
        self._answered = True
        if message["type"] == _STARTED:
            try:
                await self._stack.enter_async_context(self._lifespan())
            except Exception as error:
                self._failed = True
                message = {"type": _NOT_STARTED, "message": _text(error)}
        await self._send_outer(message)
