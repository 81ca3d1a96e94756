"""The HTTP mode: each job is sent to the user's container, in any language, in the same pod."""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import re
import string
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec

from asyncendpoints_core.common.backoff import Backoff
from asyncendpoints_core.common.retry_after import retry_after_ms
from asyncendpoints_core.common.time_source import rfc3339
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import MAX_ERROR_CHARS, ErrorCode, JobError, Result
from asyncendpoints_worker.handlers.attempt import AttemptFailed, ConnectionLost, NotDelivered
from asyncendpoints_worker.handlers.callback import HOST, Callback
from asyncendpoints_worker.handlers.enqueueing import EnqueueRules
from asyncendpoints_worker.handlers.result_check import NO_CHECKS, ResultCheck
from asyncendpoints_worker.handlers.results import BYTES, NULL, InvalidResult

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.jobs.records import ClaimedJob
    from asyncendpoints_worker.handlers.attempt import Run, RunningAttempt
    from asyncendpoints_worker.handlers.runners import ThreadRun

log = logging.getLogger("asyncendpoints.worker")

CONNECT_SECONDS: Final = 5.0
REFUSAL_SECONDS: Final = 0.5
"""How long it may take to find out, after a lost connection, whether the port refuses others."""
CHUNK: Final = 65_536
EXPLANATION_SECONDS: Final = 5.0
"""How long the body of an error may take: it is not worth more."""
WARN_SECONDS: Final = 5.0
"""How long the container's port may be closed before the log has a warning."""
PROBLEM: Final = "application/problem+json"
EXPLAINING: Final = frozenset({"text/plain", "application/json", PROBLEM})
LOOPBACK: Final = {"127.0.0.1": "::1", "::1": "127.0.0.1"}
RETRYABLE: Final = frozenset({408, 425, 429})
# Headers of one connection (RFC 9110 §7.6.1), and those that are set for this one.
NOT_FORWARDED: Final = frozenset(
    (
        *("connection", "content-length", "expect", "host", "keep-alive", "proxy-connection"),
        *("te", "trailer", "transfer-encoding", "upgrade", "accept-encoding", "content-type"),
    )
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


_REFUSED: Final = "connection refused"
_ENDED: Final = (
    ", and its port refuses connections: the server has probably ended (in a pod, the status of "
    "its container says why)"
)


class HttpTarget:
    """Sends jobs of every name to `url`; results have at most `limit` bytes and pass `checks`."""

    def __init__(
        self,
        url: str,
        limit: int,
        time: TimeSource,
        checks: Mapping[str, ResultCheck] = NO_CHECKS,
        enqueue_rules: EnqueueRules | None = None,
        callback_host: str = HOST,
    ) -> None:
        """Prepare for the container at `url`, which need not be running yet; `callback_host` is how
        it reaches this machine.
        """
        parts = urlsplit(url)
        self._url = url
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._limit = limit
        self._time = time
        self._checks = checks
        self._up = False
        self._warn_at = 0.0  # while the port is closed; 0: it was open
        self._session: aiohttp.ClientSession | None = None
        self._callback = Callback(time, callback_host)
        self.runners: dict[str, Run | ThreadRun] = {}
        self.fallback: Run | None = self.send
        self.gate: Callable[[], Awaitable[None]] | None = self.until_up
        self.names: tuple[str, ...] = ()
        self.enqueue_rules = enqueue_rules or EnqueueRules(time)

    async def start(self) -> None:
        """Create the client, and listen for callbacks. The container may start later: no job is
        claimed before it has.
        """
        # The container may close a kept-alive connection just as a job is sent on it, and then it
        # is unknown whether the job ran. A new connection on the same host costs little.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Content-Type", "User-Agent"),
        )
        await self._callback.start()

    async def stop(self) -> None:
        """Close open connections."""
        if self._session is not None:
            await self._session.close()
        await self._callback.stop()

    async def until_up(self) -> None:
        """Return once the container's port accepts connections (docs/rules.md S16)."""
        backoff = Backoff(0.02, 0.1)  # jobs may wait for it
        while not self._up and (why := await self._refusal(self._host)):
            now = self._time.monotonic()
            self._warn_at = self._warn_at or now + WARN_SECONDS
            if now >= self._warn_at:
                self._warn_at = math.inf  # once
                await self._warn(why)
            await self._time.sleep(backoff.next())
        if self._warn_at == math.inf:
            log.info("the container accepts connections on %s port %d", self._host, self._port)
        self._up, self._warn_at = True, 0.0

    async def _warn(self, why: str) -> None:
        """Log why no job is claimed."""
        other = LOOPBACK.get(self._host)
        if other is not None and not await self._refusal(other):
            why = f"{why}; it listens on {other} only: let it listen on {self._host} too"
        where = self._host, self._port
        log.warning("waiting for the container on %s port %d: %s", *where, why)

    async def _refusal(self, host: str, seconds: float = CONNECT_SECONDS) -> str:
        """Return why the port accepts no connection within `seconds`, "" if it does."""
        try:
            async with self._time.timeout(seconds):
                _, writer = await asyncio.open_connection(host, self._port)
        except TimeoutError:
            return "no answer"
        except OSError as error:
            text = error.strerror or str(error) or type(error).__name__
            return _REFUSED if _all_refused(error) else text
        writer.close()
        return ""

    async def _is_refused(self) -> bool:
        """Whether the port refuses connections, as where the container has just been killed."""
        refused = await self._refusal(self._host, REFUSAL_SECONDS) == _REFUSED
        self._up = self._up and not refused
        return refused

    async def send(self, attempt: RunningAttempt) -> Result:
        """Send one job and return its result; see Run."""
        assert self._session is not None  # noqa: S101  # started before the first claim
        request = attempt.claimed.request
        headers = _headers(attempt.claimed) | self._callback.begin(attempt)
        try:
            async with self._session.request(
                request.method,
                self._url,
                headers=headers,
                data=request.body or None,
                allow_redirects=False,
            ) as response:
                await _check(response, self._time.now_ms())
                result = await self._read(response)
        except aiohttp.ClientConnectorError as error:
            self._up = False
            if error.errno in (errno.ECONNREFUSED, errno.ECONNRESET, None):
                raise NotDelivered from error
            raise AttemptFailed(_connection_error(error)) from error
        except aiohttp.ConnectionTimeoutError as error:
            self._up = False
            raise NotDelivered from error
        except (aiohttp.ClientError, OSError) as error:
            raise ConnectionLost(
                _connection_error(error, ended=await self._is_refused())
            ) from error
        finally:
            self._callback.end(attempt)
        check = self._checks.get(attempt.claimed.job.name)
        return result if check is None else check.check(result)

    async def _read(self, response: aiohttp.ClientResponse) -> Result:
        if response.status == 204:
            return NULL
        body = bytearray()
        async for chunk in response.content.iter_chunked(CHUNK):
            body += chunk
            if len(body) > self._limit:
                response.close()
                raise InvalidResult(
                    f"the response is larger than the {self._limit} bytes that "
                    "worker.maxResultBytes allows",
                    ErrorCode.RESULT_TOO_LARGE,
                )
        content_type = response.headers.get("Content-Type") or BYTES
        disposition = response.content_disposition
        filename = (disposition.filename or "") if disposition else ""
        return Result(content_type, bytes(body), _CONTROL.sub("", filename)[:255])


def _all_refused(error: OSError) -> bool:
    """Whether each address of the host refused: several have one error without a number, which
    has their texts.
    """
    if error.errno is None:
        found = str(error).count("[Errno ")
        return 0 < found == str(error).count(f"[Errno {errno.ECONNREFUSED}]")
    return isinstance(error, ConnectionRefusedError)


def _connection_error(error: Exception, *, ended: bool = False) -> JobError:
    if isinstance(error, aiohttp.ServerDisconnectedError):
        text = "the connection to the container ended early"
    else:
        text = f"the connection to the container broke: {str(error) or type(error).__name__}"
    text = text[: MAX_ERROR_CHARS - len(_ENDED)] + (_ENDED if ended else "")
    return JobError(ErrorCode.HANDLER_ERROR, text, True)


def _headers(claimed: ClaimedJob) -> dict[str, str]:
    job, request = claimed.job, claimed.request
    headers = {
        name: value
        for name, value in request.headers.items()
        if name not in NOT_FORWARDED and not name.startswith("job-")
    }
    if request.content_type:
        headers["Content-Type"] = request.content_type
    if job.traceparent:
        headers["traceparent"] = job.traceparent
    if job.attributes.schedule:
        headers["Job-Schedule"] = job.attributes.schedule
        headers["Job-Scheduled-At"] = rfc3339(job.attributes.scheduled_ms)
    query = f"?{request.query}" if request.query else ""
    return headers | {
        "Accept-Encoding": "identity",
        "Job-Id": ids.text(job.id),
        "Job-Name": quote(job.name, safe=string.punctuation + " "),
        "Job-Attempt": str(job.attempt),
        "Job-Claim": str(claimed.claim.number),
        "Job-Deadline": rfc3339(claimed.deadline_ms),
        "Job-Path": quote(request.path + query, safe=string.punctuation),
    }


async def _check(response: aiohttp.ClientResponse, now_ms: int) -> None:
    """Raise AttemptFailed unless the response is a success."""
    status = response.status
    if 200 <= status < 300:
        return
    retryable = status in RETRYABLE or status >= 500
    after_ms = (
        retry_after_ms(response.headers.get("Retry-After", ""), now_ms) if retryable else None
    )
    message = f"the container responded {status} {response.reason or ''}".rstrip()
    if status >= 400:
        message = await _explanation(response) or message
    raise AttemptFailed(JobError(f"http-{status}", message[:MAX_ERROR_CHARS], retryable), after_ms)


async def _explanation(response: aiohttp.ClientResponse) -> str:
    """Return what the body of an error says to a client: text, JSON, or a problem (RFC 9457)."""
    media = response.content_type
    if media not in EXPLAINING:
        return ""
    body = b""
    try:
        async with asyncio.timeout(EXPLANATION_SECONDS):
            while len(body) < CHUNK and (part := await response.content.read(CHUNK)):
                body += part
    except (aiohttp.ClientError, OSError, TimeoutError):
        pass  # its beginning, if anything
    if media == PROBLEM:
        try:
            problem = msgspec.json.decode(body, type=_Problem)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        else:
            return ": ".join(part for part in (problem.title, problem.detail) if part)
    try:
        text = body.decode(response.get_encoding(), "replace")
    except (LookupError, RuntimeError):
        text = body.decode(errors="replace")
    return text.strip()


class _Problem(msgspec.Struct):
    title: str = ""
    detail: str = ""
