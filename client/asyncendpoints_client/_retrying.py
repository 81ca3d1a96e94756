"""Sending again: which replies, how often, and after which waits."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from asyncendpoints_client import _replies
from asyncendpoints_client._steps import Broken, Send, Sleep, Timing
from asyncendpoints_client.errors import ClientError, ConnectionFailed, DeadlineExceeded

if TYPE_CHECKING:
    from asyncendpoints_client._steps import Reply, Request, Steps

log = logging.getLogger("asyncendpoints_client")

AGAIN: Final = frozenset({408, 429, 502, 503, 504})
"""Statuses after which the same request may succeed."""
FIRST_SECONDS: Final = 0.5
MOST_SECONDS: Final = 10.0


@dataclass(slots=True)
class Tries:
    """The tries of one call, which together take at most `deadline` seconds.

    `uncertain`: an earlier try may have had an effect although no definite reply came.
    """

    timing: Timing
    deadline: float
    id: str | None = None
    key: str | None = None
    uncertain: bool = False
    _failures: int = 0
    _end: float = field(init=False)

    def __post_init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Give the following tries the whole deadline: there was progress."""
        self._failures = 0
        self._end = self.timing.monotonic() + self.deadline

    @property
    def left(self) -> float:
        """The seconds until the deadline."""
        return max(0.0, self._end - self.timing.monotonic())

    def failed(self, reply: Reply) -> Steps[None]:
        """Wait before the next try after `reply`; raise its error if that passes the deadline."""
        self.uncertain = self.uncertain or reply.status != 429
        now = self.timing.wall()
        least = _replies.retry_after(reply, now) or 0.0
        seconds = self._pause(least, _replies.error(reply, now, id=self.id, key=self.key))
        log.info("status %d, sending again in %.1f s", reply.status, seconds)
        yield Sleep(seconds)

    def broken(self, broken: Broken) -> Steps[None]:
        """Wait before the next try after a broken connection."""
        self.uncertain = self.uncertain or broken.sent
        if broken.hopeless:
            raise self.connection_failed(broken) from broken.cause
        late = DeadlineExceeded(
            f"no response within {self.deadline:g} s: {broken}",
            id=self.id,
            idempotency_key=self.key,
        )
        late.__cause__ = broken.cause
        seconds = self._pause(0.0, late)
        log.warning("no response (%s), sending again in %.1f s", broken, seconds)
        yield Sleep(seconds)

    def connection_failed(self, broken: Broken) -> ConnectionFailed:
        """Return the error for a request that is not sent again."""
        return ConnectionFailed(str(broken), id=self.id, idempotency_key=self.key)

    def _pause(self, least: float, error: ClientError) -> float:
        """Return `least` with full jitter on top; raise `error` if that passes the deadline."""
        most = min(MOST_SECONDS, FIRST_SECONDS * 2.0 ** min(self._failures, 10))
        self._failures += 1
        seconds: float = least + self.timing.random() * most
        if seconds >= self.left:
            raise error
        return seconds


def send(request: Request, tries: Tries) -> Steps[Reply]:
    """Send a request until a reply comes that sending again would not change."""
    while True:
        try:
            reply: Reply = yield Send(request, tries.left)
        except Broken as broken:
            yield from tries.broken(broken)
            continue
        if reply.status not in AGAIN:
            return reply
        yield from tries.failed(reply)


def checked(reply: Reply, tries: Tries, *statuses: int) -> Reply:
    """Return the reply if it has one of the statuses; else raise its error."""
    if reply.status in statuses:
        return reply
    raise _replies.error(reply, tries.timing.wall(), id=tries.id, key=tries.key)
