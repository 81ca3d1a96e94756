"""Idle waits of one task that other code can end early."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable

Value = TypeVar("Value")
PAST: Final = 0.0


class Wakeup:
    """The waits of one task, which `wake` ends."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()
        self._scope: asyncio.Timeout | None = None

    def wake(self) -> None:
        """End the wait in progress, or the next `wait` as soon as it starts."""
        self._woken.set()
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(PAST)

    async def wait(self) -> None:
        """Wait until woken; returns at once if that happened since the last wait."""
        await self._woken.wait()
        self._woken.clear()

    async def unless_woken(self, awaitable: Awaitable[Value]) -> Value | None:
        """Await something that is canceled, for None, by the first `wake` from now on."""
        self._woken.clear()
        try:
            async with asyncio.timeout(None) as self._scope:  # a cancel scope, not a time limit
                return await awaitable
        except TimeoutError:
            return None
        finally:
            self._scope = None
