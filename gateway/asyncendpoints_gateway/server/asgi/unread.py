"""A large response that is being sent, as UnsentBytes watches it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from asyncendpoints_gateway.server.unsent import UnsentBytes


class UnreadBody:
    """What is left of a body of `size` bytes: a Transport, whose `abort` ends the `async with`.

    The bytes that the server itself buffers are not known; they are a few pieces.
    """

    def __init__(self, size: int, unsent: UnsentBytes) -> None:
        self._left = size
        self._unsent = unsent
        self._scope = asyncio.timeout(None)

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        self._unsent.watch(self, self._left)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._left = 0
        try:
            await self._scope.__aexit__(kind, error, trace)
        except TimeoutError:
            raise ConnectionAbortedError("the client does not read") from None

    def sent(self, size: int) -> None:
        """Count bytes that the server has taken."""
        self._left -= size

    def get_write_buffer_size(self) -> int:
        """See Transport."""
        return self._left

    def abort(self) -> None:
        """See Transport."""
        if self._left and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())
