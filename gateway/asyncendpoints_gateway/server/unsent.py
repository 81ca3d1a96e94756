"""A bound on what responses keep in memory for clients that read slowly, or not at all."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from asyncendpoints_core.common.time_source import TimeSource

log = logging.getLogger("asyncendpoints.gateway")

PERIOD_SECONDS: Final = 30.0
MIN_SENT_BYTES: Final = 131_072
"""A client with unread bytes must read so many in each PERIOD_SECONDS, or all of them."""
MAX_UNSENT_BYTES: Final = 134_217_728
"""Unsent bytes of all connections; beyond it those without progress for the longest are closed."""
GRACE_SECONDS: Final = 0.1
"""A connection with progress within this time is not closed for the sum."""
SWEEP_SECONDS: Final = 1.0


class Transport(Protocol):
    """The part of an asyncio transport that is needed."""

    def get_write_buffer_size(self) -> int:
        """Return the bytes that were written and not sent."""

    def abort(self) -> None:
        """Close at once, without sending what is left."""


class _Unsent:
    """A connection with unsent bytes; times are those of the period's begin and of progress."""

    __slots__ = ("begun", "moved", "sent", "sent_before", "size", "written")

    def __init__(self, now: float) -> None:
        self.begun = self.moved = now
        self.written = self.sent = self.sent_before = self.size = 0

    def is_late(self, now: float, size: int) -> bool:
        """Note the present unsent bytes; return whether the client reads too slowly."""
        self.size, sent = size, self.written - size
        if sent > self.sent:
            self.moved = now
        self.sent = sent
        if now - self.begun < PERIOD_SECONDS:
            return False
        late = sent - self.sent_before < MIN_SENT_BYTES
        self.begun, self.sent_before = now, sent
        return late


class UnsentBytes:
    """Watches connections from a write until everything is sent."""

    def __init__(self, time: TimeSource) -> None:
        self._time = time
        self._watched: dict[Transport, _Unsent] = {}
        self._written = 0
        self._timer: object | None = None

    def watch(self, transport: Transport, size: int) -> None:
        """Watch a connection that a response of `size` bytes was or will be written to."""
        unsent = self._watched.get(transport)
        if unsent is None:
            now = self._time.monotonic()
            unsent = self._watched[transport] = _Unsent(now)
            if self._timer is None:
                self._timer = self._time.call_at(now + SWEEP_SECONDS, self._on_timer)
        unsent.written += size
        self._written += size  # at most so much is unsent until it is counted again
        if self._written > MAX_UNSENT_BYTES:
            self._sweep()

    def _on_timer(self) -> None:
        self._timer = None
        self._sweep()
        if self._watched:
            due = self._time.monotonic() + SWEEP_SECONDS
            self._timer = self._time.call_at(due, self._on_timer)

    def _sweep(self) -> None:
        """Close the connections whose clients are late, or hold too much together."""
        now = self._time.monotonic()
        late: list[Transport] = []
        total = 0
        for transport, unsent in list(self._watched.items()):
            size = transport.get_write_buffer_size()
            if not size and now - unsent.begun >= GRACE_SECONDS:  # else it is still to be written
                del self._watched[transport]
            elif unsent.is_late(now, size):
                del self._watched[transport]
                late.append(transport)
            else:
                total += size
        if total > MAX_UNSENT_BYTES:
            # Until a quarter is free: then not every write comes here.
            for transport, unsent in sorted(self._watched.items(), key=lambda item: item[1].moved):
                if total <= MAX_UNSENT_BYTES * 3 // 4 or now - unsent.moved < GRACE_SECONDS:
                    break
                late.append(transport)
                total -= unsent.size
        self._written = total
        for transport in late:
            self._watched.pop(transport, None)
            transport.abort()
        if late:
            log.warning("closed %d connections that did not read their responses", len(late))
