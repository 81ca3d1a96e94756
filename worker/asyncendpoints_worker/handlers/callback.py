"""The callback of the HTTP mode: progress, logs and jobs to enqueue from the user's container.

A small server on the loopback, which the containers of a pod share, or on another address of the
machine for a container in a network of its own. Each attempt has a token of its own; what comes
after the attempt has ended is refused.
"""

from __future__ import annotations

import hmac
import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from aiohttp import web

from asyncendpoints_core.common.listening import cannot_listen, in_url, is_address
from asyncendpoints_core.common.problem_runner import ProblemRunner
from asyncendpoints_core.common.time_source import rfc3339
from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.jobs.records import MAX_CHILDREN_BYTES
from asyncendpoints_worker.handlers.context import JobContext

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_worker.handlers.attempt import RunningAttempt

    Answer = Callable[[web.Request, RunningAttempt], Awaitable[web.Response]]

T = TypeVar("T")

HOST: Final = "127.0.0.1"
MAX_PROGRESS_BYTES: Final = 8_192
MAX_LOG_BYTES: Final = 65_536
# Of a job's body as JSON, in which a character may take six bytes.
MAX_ENQUEUE_BYTES: Final = 6 * MAX_CHILDREN_BYTES + 16_384
MAX_PER_SECOND: Final = 100
"""Requests of one attempt."""
PROBLEM: Final = "application/problem+json"


class _Refused(Exception):
    """A request that is refused."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail

    def response(self) -> web.Response:
        """Return the problem (RFC 9457)."""
        problem = {
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": self.detail,
        }
        headers = {"Retry-After": "1"} if self.status is HTTPStatus.TOO_MANY_REQUESTS else {}
        body = msgspec.json.encode(problem)
        return web.Response(status=self.status, body=body, content_type=PROBLEM, headers=headers)


class _Progress(msgspec.Struct):
    fraction: float
    message: str = ""


class _NewJob(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    body: Any = None
    delay: float = 0
    priority: str | None = None
    key: str | None = None
    tags: tuple[str, ...] = ()
    content_type: str | None = msgspec.field(default=None, name="contentType")


class Callback:
    """The server, between `start` and `stop`, and the attempts that may use it."""

    def __init__(self, time: TimeSource, host: str = HOST) -> None:
        """Prepare; tokens are valid in this process only. `host` is how containers reach it: an
        address of this machine, or a name that leads to its loopback.
        """
        self._host = host
        self._time = time
        self._secret = secrets.token_bytes(32)
        self._running: dict[int, RunningAttempt] = {}
        self._rates: dict[int, tuple[int, int]] = {}
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        """Listen on a free port. Raises UsageError for an address of another machine."""
        app = web.Application(client_max_size=MAX_ENQUEUE_BYTES)
        for method, path, answer in (
            ("POST", "/progress", self._progress),
            ("POST", "/logs", self._logs),
            ("POST", "/enqueue", self._enqueue),
            ("GET", "/cancel", self._cancel),
        ):
            app.router.add_route(method, path, self._for_attempt(answer))
        runner = ProblemRunner(app, shutdown_timeout=0.5)
        await runner.setup()
        address = self._host if is_address(self._host) else HOST
        try:
            await runner.listen(address, 0)
        except OSError as error:
            await runner.cleanup()
            raise UsageError(f"--callback-host: {cannot_listen(address, 0, error, '')}") from None
        self._runner = runner
        self.url = f"http://{in_url(self._host)}:{runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Close the port."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def begin(self, attempt: RunningAttempt) -> dict[str, str]:
        """Accept what an attempt sends; return the headers that tell its container how."""
        number = attempt.claim.number
        self._running[number] = attempt
        return {"Job-Callback": self.url, "Job-Callback-Token": self._token(number)}

    def end(self, attempt: RunningAttempt) -> None:
        """Accept nothing more of an attempt."""
        self._running.pop(attempt.claim.number, None)
        self._rates.pop(attempt.claim.number, None)

    def _token(self, number: int) -> str:
        return f"{number}.{hmac.digest(self._secret, b'%d' % number, 'sha256').hex()}"

    def _for_attempt(self, answer: Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            try:
                return await answer(request, self._attempt(request))
            except _Refused as refused:
                return refused.response()

        return handle

    def _attempt(self, request: web.Request) -> RunningAttempt:
        """Return the attempt whose token a request has. Raises _Refused."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        claim = token.partition(".")[0]
        known = token.isascii() and claim.isdigit() and len(claim) < 20
        right = known and hmac.compare_digest(token.encode(), self._token(int(claim)).encode())
        if scheme.lower() != "bearer" or not right:
            raise _Refused(
                HTTPStatus.UNAUTHORIZED, "send Authorization: Bearer and the Job-Callback-Token"
            )
        return self._still_running(int(claim))

    def _still_running(self, number: int) -> RunningAttempt:
        attempt = _still(self._running.get(number))
        second = int(self._time.monotonic())
        since, count = self._rates.get(number, (second, 0))
        count = count + 1 if since == second else 1
        self._rates[number] = second, count
        if count > MAX_PER_SECOND:
            raise _Refused(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"an attempt may send {MAX_PER_SECOND} requests a second",
            )
        return attempt

    async def _progress(self, request: web.Request, attempt: RunningAttempt) -> web.Response:
        given = _decoded(await _read(request, MAX_PROGRESS_BYTES), _Progress)
        _still(attempt)
        try:
            JobContext(attempt).progress(given.fraction, given.message)
        except ValueError as error:
            raise _Refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _logs(self, request: web.Request, attempt: RunningAttempt) -> web.Response:
        text = (await _read(request, MAX_LOG_BYTES)).decode(errors="replace")
        _still(attempt)
        if attempt.log is not None:
            now = rfc3339(self._time.now_ms())
            attempt.log.add("\n".join(f"{now} {line}" for line in text.splitlines()))
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _enqueue(self, request: web.Request, attempt: RunningAttempt) -> web.Response:
        given = _decoded(await _read(request, MAX_ENQUEUE_BYTES), _NewJob)
        _still(attempt)
        try:
            new_id = JobContext(attempt).enqueue(
                given.name,
                given.body,
                delay=given.delay,
                priority=given.priority,
                key=given.key,
                tags=given.tags,
                content_type=given.content_type,
            )
        except ValueError as error:
            raise _Refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
        body = msgspec.json.encode({"id": new_id})
        return web.Response(status=HTTPStatus.CREATED, body=body, content_type="application/json")

    async def _cancel(self, _: web.Request, attempt: RunningAttempt) -> web.Response:
        body = msgspec.json.encode({"cancelRequested": attempt.stop is not None})
        return web.Response(body=body, content_type="application/json")


def _still(attempt: RunningAttempt | None) -> RunningAttempt:
    """Return an attempt that has not ended. Raises _Refused, also for one that ended while the body
    of its request was read.
    """
    if attempt is None or attempt.ended or attempt.settled:
        raise _Refused(HTTPStatus.GONE, "the attempt has ended")
    return attempt


async def _read(request: web.Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise _Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body has more than {limit} bytes"
            )
    return bytes(body)


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Refused(HTTPStatus.BAD_REQUEST, f"the body is not valid: {error}") from None
