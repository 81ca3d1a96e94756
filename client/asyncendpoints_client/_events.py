"""A job's changes as they happen: server-sent events, or long polls where streams do not pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncendpoints_client import _replies
from asyncendpoints_client._following import POLL_SECONDS
from asyncendpoints_client._retrying import AGAIN, checked
from asyncendpoints_client._steps import Broken, Event, Next, Open, Reply, Request, Sleep

if TYPE_CHECKING:
    from asyncendpoints_client._following import Follower
    from asyncendpoints_client._steps import Steps
    from asyncendpoints_client.jobs import Job

EMPTY_STREAMS: Final = 2
"""After so many streams in a row without anything new, long polls are used."""
QUIET_SECONDS: Final = 45.0
"""A gateway sends a comment every 15 s."""
GAP_SECONDS: Final = 0.25
"""Frequent progress is no reason for a poll each."""
STREAM: Final = "text/event-stream"


class Events:
    """Reads the changes of one job, one after the other."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self._tries = follower.tries()
        self._last: Job | None = None
        self._open = False
        self._empty = 0
        self._polls = False

    def next(self) -> Steps[Job | None]:
        """Return the next change, None after the final one."""
        while self._last is None or not self._last.final:
            if self._polls:
                found: Job | None = yield from self._polled()
            else:
                found = yield from self._streamed()
            if found is not None:
                self._last = found
                return found
        return None

    def _polled(self) -> Steps[Job | None]:
        if self._last is not None:
            yield Sleep(GAP_SECONDS)
        found = yield from self._follower.poll(self._last, POLL_SECONDS, self._follower.deadline)
        return None if found is self._last else found

    def _streamed(self) -> Steps[Job | None]:
        """Return the next new job of a stream, None when another stream or way is to be tried."""
        try:
            if not self._open and not (yield from self._connect()):
                return None
            event: Event | None = yield Next()
        except Broken as broken:
            self._ended()
            if not self._polls:
                yield from self._tries.broken(broken)
            return None
        if event is None:
            self._ended()
            yield Sleep(self._follower.timing.random())
            return None
        if event.name != "job" or (self._last and f'"{event.id}"' == self._last.version):
            return None  # what a new stream begins with is known
        self._empty = 0
        self._tries.begin_anew()
        return _job(event)

    def _connect(self) -> Steps[bool]:
        """Open a stream; return whether there is one."""
        last = self._last.version.strip('"') if self._last else ""
        headers = {"Accept": STREAM, **({"Last-Event-ID": last} if last else {})}
        request = Request("GET", self._follower.path, headers, patience=QUIET_SECONDS)
        reply: Reply = yield Open(request, self._tries.left)
        if reply.status in AGAIN:
            yield from self._tries.failed(reply)
            return False
        checked(reply, self._tries, 200, 204)
        self._open = reply.status == 200 and _replies.media_type(reply) == STREAM
        self._polls = not self._open
        return self._open

    def _ended(self) -> None:
        self._open = False
        self._empty += 1
        self._polls = self._empty >= EMPTY_STREAMS


def _job(event: Event) -> Job:
    reply = Reply(200, {"etag": f'"{event.id}"'}, event.data.encode())
    return _replies.job(reply)
