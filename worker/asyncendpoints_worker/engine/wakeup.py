"""Waits that end early when there is news."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable

Value = TypeVar("Value")


class Nap:
    """The waits of one task, which others end with `rouse`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._timeout: asyncio.Timeout | None = None

    def rouse(self) -> None:
        """End the wait that is under way, or the next `until_roused` at its start."""
        self._news.set()
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(self._loop.time())

    async def until_roused(self) -> None:
        """Wait for news, that of before included."""
        await self._news.wait()
        self._news.clear()

    async def unless_roused(self, awaitable: Awaitable[Value]) -> Value | None:
        """Await something that is given up, for None, at the first news from now on."""
        self._news.clear()
        try:
            async with asyncio.timeout(None) as self._timeout:
                return await awaitable
        except TimeoutError:
            return None
        finally:
            self._timeout = None
