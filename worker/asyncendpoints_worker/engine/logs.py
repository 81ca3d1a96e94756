"""Sends the logs of attempts to the store: each second, and at the end beside the outcome.

Nothing waits for it. What cannot be sent waits within the limits of the logs, and is dropped some
time after its attempt has ended.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.jobs.records import OutcomeKind
from asyncendpoints_core.process.job_logs import Capture, JobLog
from asyncendpoints_core.store.job_logs import ENDPOINT_BYTES, LogWrite, items_per_call

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.jobs.records import Claim, ClaimedJob, Outcome
    from asyncendpoints_core.resource.worker import LogsSpec
    from asyncendpoints_core.store.protocol import Store

log = logging.getLogger("asyncendpoints.worker")

INTERVAL_SECONDS: Final = 1.0
SEND_SECONDS: Final = 2.0
MAX_TRIES: Final = 5
"""How often the end of a log is sent while the store refuses it."""


class _Sent(JobLog):
    """The log of one attempt, and what of it the store has.

    `chunk` was sent, and is sent again until the store has answered. `unless_completed`: the
    attempt completed its job, if the store agrees, and only failures are kept.
    """

    def __init__(self, claimed: ClaimedJob, limit: int, add: Callable[[_Sent], None]) -> None:
        super().__init__(limit, partial(add, self))
        self.claim = claimed.claim
        self.attempt = claimed.job.attempt
        self.position = self.tries = 0
        self.chunk = b""
        self.ended = self.unless_completed = False

    def write(self) -> LogWrite:
        """Return what to send."""
        self.chunk = self.chunk or self.take()
        return LogWrite(self.claim, self.attempt, self.position, self.chunk, self.unless_completed)

    def sent(self, applied: bool) -> None:
        """Note the store's answer."""
        self.position += len(self.chunk) if applied else 0
        self.chunk, self.tries = b"", 0


class LogSender:
    """The logs of one engine's attempts. A context: inside, what handlers log is captured."""

    def __init__(
        self,
        store: Store,
        time: TimeSource,
        options: LogsSpec,
        undelivered: Callable[[], Collection[Claim]],
    ) -> None:
        """Send to `store`. `undelivered()` are the claims whose outcomes it does not have yet."""
        self._store = store
        self._time = time
        self._limit = options.max_bytes
        self._only_failures = options.keep == "Failed"
        self._undelivered = undelivered
        self._capture = Capture(options.level, traces=options.traces)
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._pending: dict[int, _Sent] = {}
        self._task: asyncio.Task[None] | None = None
        self._at_once: asyncio.Task[None] | None = None
        self._sending = asyncio.Lock()
        self._refused = False

    async def __aenter__(self) -> Self:
        self._capture.attach()
        return self

    async def __aexit__(self, kind: Any, *_: object) -> None:
        self._capture.detach()
        if kind is None:
            await self._flush()
        for task in (self._task, self._at_once):
            if task is not None:
                task.cancel()

    def begin(self, claimed: ClaimedJob) -> JobLog:
        """Return the log of a new attempt."""
        self._capture.attach()  # the user's configuration may have removed it
        return _Sent(claimed, self._limit, self._changed)

    def end(self, ended: JobLog | None, outcome: Outcome) -> None:
        """Send what an attempt has logged, at once if it is kept."""
        if not isinstance(ended, _Sent):
            return
        ended.ended = True
        ended.unless_completed = self._only_failures and outcome.kind is OutcomeKind.COMPLETE
        if not ended.unless_completed:
            self._pending[ended.claim.number] = ended
            if self._at_once is None:
                self._at_once = self._loop.create_task(self._flush_at_once())
        elif ended.position or ended.chunk or outcome.children:
            self._add(ended)  # once the store has the outcome
        else:
            self._pending.pop(ended.claim.number, None)

    def _changed(self, changed: _Sent) -> None:
        """Send a log soon; from any thread."""
        if threading.get_ident() == self._thread:
            self._add(changed)
            return
        with suppress(RuntimeError):  # a handler's thread outlived its event loop
            self._loop.call_soon_threadsafe(self._add, changed)

    def _add(self, changed: _Sent) -> None:
        self._pending[changed.claim.number] = changed
        if self._task is None:
            self._task = self._loop.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._pending:
                await self._time.sleep(INTERVAL_SECONDS)
                await self._flush()
        finally:
            self._task = None

    async def _flush_at_once(self) -> None:
        try:
            await self._flush()
        finally:
            self._at_once = None
        for left in list(self._pending.values()):
            self._add(left)

    async def _flush(self) -> None:
        """Send what is pending, but for logs whose attempt's outcome the store does not have yet
        and which it would remove with it.
        """
        async with self._sending:
            logs = list(self._pending.values())
            if any(each.unless_completed for each in logs):
                waiting = {claim.number for claim in self._undelivered()}
                logs = [
                    each
                    for each in logs
                    if not (each.unless_completed and each.claim.number in waiting)
                ]
            size = items_per_call(self._limit)
            for at in range(0, len(logs), size):
                await self._send(logs[at : at + size])

    async def _send(self, logs: list[_Sent]) -> None:
        for each in logs:
            del self._pending[each.claim.number]  # a line that comes from now on adds it again
        writes = [each.write() for each in logs]
        try:
            async with self._time.timeout(SEND_SECONDS):
                answers = await self._store.write_logs(
                    writes, limit=self._limit, budget=ENDPOINT_BYTES
                )
        except (StoreError, TimeoutError) as error:
            if not self._refused:
                self._refused = True
                why = "no answer in time" if isinstance(error, TimeoutError) else error
                log.warning("logs of jobs cannot be stored: %s", why)
            for each in logs:
                each.tries += each.ended
                if each.tries < MAX_TRIES:
                    self._pending[each.claim.number] = each
            return
        self._refused = False
        for each, applied in zip(logs, answers, strict=True):
            each.sent(applied)
