"""Following one job: its state, the wait for its end, its result, cancel and retry."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_client import _replies
from asyncendpoints_client._retrying import AGAIN, Tries, checked, send
from asyncendpoints_client._steps import Broken, Reply, Request, Save, Send, Sleep
from asyncendpoints_client.errors import ClientError, DeadlineExceeded, JobFinal, NotRetryable
from asyncendpoints_client.jobs import Job

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from asyncendpoints_client._steps import Steps, Timing

POLL_SECONDS: Final = 25.0
"""Proxies usually end requests after 30 s or more."""
OUTAGE_SECONDS: Final = 5.0
"""How much longer than its timeout a wait takes at most when the gateway does not answer."""


class Follower:
    """The conversations about one job."""

    def __init__(self, id: str, timing: Timing, deadline: float) -> None:
        if not id or not id.replace("-", "").isalnum():
            raise ValueError(f"{id!r} is not the id of a job")
        self.id = id
        self.path = f"/jobs/{id}"
        self.timing = timing
        self.deadline = deadline

    def tries(self) -> Tries:
        """Return the tries of a new call."""
        return Tries(self.timing, self.deadline, id=self.id)

    def status(self) -> Steps[Job]:
        """Read the job."""
        tries = self.tries()
        reply = yield from send(Request("GET", self.path), tries)
        return _replies.job(checked(reply, tries, 200))

    def poll(self, known: Job | None, most: float, grace: float) -> Steps[Job]:
        """Return the job once it differs from `known`, or the same after `most` seconds.

        In an outage it takes up to `grace` seconds more.
        """
        seconds = int(min(POLL_SECONDS, most)) if known else 0
        tries = Tries(self.timing, seconds + grace, id=self.id)
        headers = {"If-None-Match": known.version} if known else {}
        params = {"wait": seconds} if seconds else {}
        begun = self.timing.monotonic()
        reply = yield from send(
            Request("GET", self.path, headers, params, None, 15.0 + seconds), tries
        )
        if known is None or reply.status != 304:
            return _replies.job(checked(reply, tries, 200))
        if seconds - (self.timing.monotonic() - begun) > 1:
            # Answered early: the gateway has too many waiting requests.
            least = _replies.retry_after(reply, self.timing.wall()) or 1.0
            yield Sleep(min(min(least, POLL_SECONDS) + self.timing.random(), most))
        return known

    def wait(self, timeout: float | None) -> Steps[Job]:
        """Return the job once it is final."""
        now = self.timing.monotonic
        end = None if timeout is None else now() + timeout
        grace = self.deadline if end is None else min(self.deadline, OUTAGE_SECONDS)
        known: Job | None = None
        gap = 0.01
        while True:
            left = POLL_SECONDS if end is None else max(0.0, end - now())
            if known and left < 1:  # shorter than a long poll can be
                yield Sleep(left)
                left = 0.0
            found = yield from self.poll(known, left, grace)
            if found.final:
                return found
            if left == 0:
                raise DeadlineExceeded(
                    f"the job is {found.state} after {timeout:g} s and continues", id=self.id
                )
            if known and found is not known:
                # Frequent progress is no reason for a request each.
                yield Sleep(gap)
                gap = min(0.5, gap * 2)
            known = found

    def result(self, timeout: float | None, early: Reply | None) -> Steps[Reply]:
        """Return the reply with the result once there is one; JobFailed or JobCanceled."""
        if early is not None and early.status == 200:
            return early
        tries = self.tries()
        if early is None:
            yield from self.wait(timeout)
            tries.begin_anew()
            early = yield from send(Request("GET", f"{self.path}/result"), tries)
        return checked(early, tries, 200)

    def download(self, part: Path, timeout: float | None) -> Steps[None]:
        """Write the result to the new file `part`, begun again whenever the connection is cut."""
        yield from self.wait(timeout)
        tries = self.tries()
        request = Request("GET", f"{self.path}/result", patience=30.0)
        most = 0
        while True:
            try:
                reply: Reply = yield Save(request, tries.left, part)
            except Broken as broken:
                if broken.received > most:
                    most = broken.received
                    tries.begin_anew()
                yield from tries.broken(broken)
                continue
            if reply.status in AGAIN:
                yield from tries.failed(reply)
                continue
            checked(reply, tries, 200)
            return

    def cancel(self) -> Steps[Job]:
        """Cancel the job. One that is Canceled is a success: a request whose answer was lost may
        have been sent again, by this client or on the way.
        """
        tries = self.tries()
        reply = yield from send(Request("DELETE", self.path), tries)
        try:
            return _replies.job(checked(reply, tries, 200, 202))
        except JobFinal as final:
            if tries.uncertain or final.members.get("state") == "Canceled":
                found = yield from self.status()
                if found.state == "Canceled":
                    return found
            raise

    def retry(self) -> Steps[Job]:
        """Queue a failed or canceled job again. Never sent twice, since it may have run between."""
        before = yield from self.status()
        tries = self.tries()
        request = Request("POST", f"{self.path}/retry")
        while True:
            try:
                reply: Reply = yield Send(request, tries.left)
            except Broken as broken:
                if not broken.sent:
                    yield from tries.broken(broken)
                    continue
                return (yield from self._retried(before, tries.connection_failed(broken)))
            if reply.status in AGAIN and reply.status != 429:
                error = _replies.error(reply, self.timing.wall(), id=self.id)
                return (yield from self._retried(before, error))
            try:
                return _replies.job(checked(reply, tries, 202))
            except NotRetryable as error:  # sent twice on the way, or another client was first
                if before.state not in ("Failed", "Canceled"):
                    raise
                return (yield from self._retried(before, error))

    def _retried(self, before: Job, error: ClientError) -> Steps[Job]:
        """Return the job if it has changed since `before`; else raise the error."""
        found = yield from self.status()
        if found.version == before.version:
            raise error
        return found


class Listing:
    """Reads the pages of a list of jobs."""

    def __init__(self, filters: Mapping[str, Any], timing: Timing, deadline: float) -> None:
        self._filters = {name: value for name, value in filters.items() if value is not None}
        self._timing = timing
        self._deadline = deadline
        self._cursor: str | None = None
        self._ended = False

    def next(self) -> Steps[list[Job] | None]:
        """Return the next page, which may be empty; None after the last."""
        if self._ended:
            return None
        tries = Tries(self._timing, self._deadline)
        cursor = {"cursor": self._cursor} if self._cursor else {}
        request = Request("GET", "/jobs", params={**self._filters, **cursor})
        reply = checked((yield from send(request, tries)), tries, 200)
        try:
            page = json.loads(reply.body)
            jobs = [Job.parse(item) for item in page["items"]]
            self._cursor = page["nextCursor"]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise _replies.unexpected(reply) from None
        self._ended = not self._cursor
        return jobs
