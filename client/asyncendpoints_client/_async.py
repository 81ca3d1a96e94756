"""The asynchronous client (asyncio): the same conversations as the synchronous one's."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast, overload

import httpx2

from asyncendpoints_client import _replies, _submissions, _wire
from asyncendpoints_client._events import Events
from asyncendpoints_client._following import Follower, Listing
from asyncendpoints_client._steps import Broken, Next, Open, Save, Sleep, Timing

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
    from types import TracebackType

    from asyncendpoints_client._steps import Event, Reply, Step, Steps
    from asyncendpoints_client._submissions import Accepted, Priority, Seconds
    from asyncendpoints_client.jobs import Job

T = TypeVar("T")


class Shell:
    """Carries out the steps of one conversation at a time."""

    def __init__(self, client: httpx2.AsyncClient, base: str, timing: Timing) -> None:
        self._client = client
        self._base = base
        self._timing = timing
        self._stream: httpx2.Response | None = None
        self._events: AsyncIterator[httpx2.ServerSentEvent] | None = None

    async def run(self, steps: Steps[T]) -> T:
        """Carry out the steps; return what they return."""
        try:
            step = next(steps)
            while True:
                try:
                    answer = await self._carry_out(step)
                except Broken as broken:
                    step = steps.throw(broken)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            return cast("T", end.value)

    def another(self) -> Shell:
        """Return a shell for another conversation over the same client."""
        return Shell(self._client, self._base, self._timing)

    async def close(self) -> None:
        """Close the stream that is open."""
        if self._stream is not None:
            await self._stream.aclose()
            self._stream = None

    async def _carry_out(self, step: Step) -> Reply | Event | None:
        if isinstance(step, Sleep):
            await self._timing.async_sleep(step.seconds)
            return None
        if isinstance(step, Next):
            return await self._next()
        try:
            request = _wire.build(self._client, self._base, step.request, step.seconds)
            response = await self._client.send(request, stream=True)
        except _wire.FAULTS as error:
            raise _wire.broken(error) from error
        if isinstance(step, Open) and _wire.is_stream(response):
            await self.close()
            self._stream, self._events = response, aiter(httpx2.EventSource(response))
            return _wire.reply(response, b"")
        async with aclosing(response):
            if isinstance(step, Save) and response.status_code == 200:
                return await self._save(response, step.path)
            try:
                return _wire.reply(response, await response.aread())
            except _wire.FAULTS as error:
                raise _wire.broken(error) from error

    async def _save(self, response: httpx2.Response, path: Path) -> Reply:
        received = 0
        with path.open("wb") as file:
            try:
                async for chunk in response.aiter_bytes(_wire.CHUNK):
                    received += len(chunk)
                    await asyncio.to_thread(file.write, chunk)
            except _wire.FAULTS as error:
                raise _wire.broken(error, received) from error
        return _wire.reply(response, b"")

    async def _next(self) -> Event | None:
        try:
            found = await anext(self._events, None) if self._events else None
        except _wire.FAULTS as error:
            await self.close()
            raise _wire.broken(error) from error
        if found is None:
            await self.close()
            return None
        return _wire.event(found)


class AsyncJobHandle:
    """One job. Each method may be called at any time, also from another process by `client.job`."""

    def __init__(self, shell: Shell, follower: Follower, accepted: Accepted | None = None) -> None:
        self._shell = shell
        self._follower = follower
        self._accepted = accepted

    @property
    def id(self) -> str:
        """The job's id."""
        return self._follower.id

    @property
    def idempotency_key(self) -> str | None:
        """The key of the submission, None for a handle that `AsyncClient.job` made."""
        return None if self._accepted is None else self._accepted.idempotency_key

    @property
    def existing(self) -> bool:
        """Whether the submission returned a job that was there before (`Job-Existing`)."""
        return self._accepted is not None and self._accepted.existing

    async def status(self) -> Job:
        """Return the job as it is now."""
        return await self._shell.run(self._follower.status())

    async def wait(self, timeout: float | None = None) -> Job:
        """Return the job once it has ended, whether it completed, failed or was canceled.

        After `timeout` seconds it raises DeadlineExceeded, and the job continues.
        """
        return await self._shell.run(self._follower.wait(timeout))

    @overload
    async def result(self, *, timeout: float | None = None) -> Any: ...
    @overload
    async def result(self, into: type[T], *, timeout: float | None = None) -> T: ...

    async def result(self, into: Any = None, *, timeout: float | None = None) -> Any:
        """Return the result once the job has ended; raise JobFailed or JobCanceled without one.

        JSON is decoded, text is a str, anything else bytes. `into` is a type to decode JSON to: a
        pydantic model, a msgspec Struct, a dataclass, or any type if pydantic is installed.
        `timeout` is for the job's end, in seconds: then DeadlineExceeded, and the job continues.
        """
        early = None if self._accepted is None else self._accepted.result
        reply = await self._shell.run(self._follower.result(timeout, early))
        return _replies.value(reply, into)

    async def download(self, path: str | Path, *, timeout: float | None = None) -> Path:
        """Write the result to a file, in constant memory; return its path.

        The file appears when it is complete. `timeout` is for the job's end, in seconds.
        """
        target = Path(path)
        part = _wire.part(target)
        try:
            await self._shell.run(self._follower.download(part, timeout))
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return target

    async def cancel(self) -> Job:
        """Cancel the job and return it: a running one ends within seconds.

        JobFinal if it has ended otherwise.
        """
        return await self._shell.run(self._follower.cancel())

    async def retry(self) -> Job:
        """Queue a failed or canceled job again, with the same id and input; return it."""
        if self._accepted is not None:  # its result belongs to the run before
            self._accepted = _submissions.without_result(self._accepted)
        return await self._shell.run(self._follower.retry())

    async def events(self) -> AsyncGenerator[Job, None]:
        """Yield the job now and after each change of its state or progress, until it has ended."""
        shell, events = self._shell.another(), Events(self._follower)
        try:
            while (job := await shell.run(events.next())) is not None:
                yield job
        finally:
            await shell.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"


class AsyncClient:
    """A client of one gateway for asyncio. Close it, or use it in an `async with`."""

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
        deadline: float = 60.0,
        timing: Timing | None = None,
    ) -> None:
        """Connect to `base_url` when first needed.

        `token` is sent as a bearer token, `headers` with every request. `transport` replaces the
        network, `timing` the clock, in tests. `deadline` is how many seconds one call goes on when
        the gateway is busy or away.
        """
        self._base = _wire.base_url(base_url)
        named = _wire.client_headers(token, headers)
        self._http = httpx2.AsyncClient(headers=named, transport=transport)
        self._deadline = deadline
        self._timing = timing or Timing()

    async def submit(
        self,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        method: str = "POST",
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        delay: Seconds = 0,
        priority: Priority | None = None,
        expires: Seconds | None = None,
        tags: Iterable[str] = (),
        webhook: str | None = None,
        wait: float = 0,
    ) -> AsyncJobHandle:
        """Submit a job to a route and return its handle once it is accepted.

        `path` is the route's, `params` are its query. `body` is sent as it is if it is bytes, text,
        an iterator of bytes or a file, and else as JSON; `content_type` says otherwise. It is
        serialized once, and every try carries the same `idempotency_key`, a new one unless given,
        so that one job comes of it. `delay` and `expires` are seconds or timedeltas. `wait` is how
        many seconds (60 at most) the gateway holds the response for the result, which then is in
        the handle.

        A refusal raises its Problem; DeadlineExceeded and others carry `idempotency_key`.
        """
        options = _submissions.Options(
            params, method, content_type, headers, idempotency_key,
            delay, priority, expires, tags, webhook, wait,
        )  # fmt: skip
        request = _submissions.request(path, body, options)
        shell = self._shell()
        accepted = await shell.run(_submissions.submit(request, self._timing, self._deadline, wait))
        return AsyncJobHandle(shell, self._follower(accepted.id), accepted)

    def job(self, id: str) -> AsyncJobHandle:
        """Return the handle of a job whose id is known; nothing is sent."""
        return AsyncJobHandle(self._shell(), self._follower(id))

    async def jobs(self, **filters: Any) -> AsyncGenerator[Job, None]:
        """Yield the jobs that match, newest first within a state, page by page.

        The filters are those of GET /jobs, for example `state="Failed"` or `limit=500` (a page's).
        """
        shell, listing = self._shell(), Listing(filters, self._timing, self._deadline)
        while (page := await shell.run(listing.next())) is not None:
            for job in page:
                yield job

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _shell(self) -> Shell:
        return Shell(self._http, self._base, self._timing)

    def _follower(self, id: str) -> Follower:
        return Follower(id, self._timing, self._deadline)
