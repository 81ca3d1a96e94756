"""What both shells share: httpx2's requests, timeouts, errors and headers."""

from __future__ import annotations

import secrets
import ssl
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import httpx2

from asyncendpoints_client._steps import Broken, Event, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from asyncendpoints_client._steps import Request

VERSION: Final = version("asyncendpoints-client")
CHUNK: Final = 1 << 18
UNSENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
HOPELESS: Final = (httpx2.UnsupportedProtocol, httpx2.LocalProtocolError, httpx2.DecodingError)
FAULTS: Final = (httpx2.RequestError, httpx2.StreamError)


def base_url(text: str) -> str:
    """Return the URL without its last slash; ValueError if it is not one of a gateway."""
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL as error:
        raise ValueError(f"base_url {text!r}: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"base_url {text!r} must begin with http:// or https:// and a host")
    if url.query or url.fragment:
        raise ValueError(f"base_url {text!r} must have no query or fragment")
    return text.rstrip("/")


def client_headers(token: str | None, headers: Mapping[str, str] | None) -> dict[str, str]:
    """Return the headers of every request."""
    named = {"User-Agent": f"asyncendpoints-client/{VERSION}", **(headers or {})}
    if token is not None:
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise ValueError("token is empty or has characters that no token has: strip it")
        named["Authorization"] = f"Bearer {token}"
    return named


def build(
    client: httpx2.Client | httpx2.AsyncClient, base: str, sent: Request, seconds: float
) -> httpx2.Request:
    """Return httpx2's request, with the present trace context."""
    most = max(0.001, seconds)
    timeout = httpx2.Timeout(min(10.0, most), read=min(sent.patience, most))
    headers = {**trace_context(), **sent.headers}
    return client.build_request(
        sent.method,
        base + sent.path,
        headers=headers,
        params=dict(sent.params) or None,
        content=sent.body,
        timeout=timeout,
    )


def trace_context() -> dict[str, str]:
    """Return traceparent and tracestate of the present span, if opentelemetry is there."""
    carrier: dict[str, str] = {}
    if (inject := _inject()) is not None:
        inject(carrier)
    return carrier


@cache
def _inject() -> Callable[[dict[str, str]], None] | None:
    try:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
    except ImportError:
        return None
    return TraceContextTextMapPropagator().inject


def broken(error: Exception, received: int = 0) -> Broken:
    """Return what an error of httpx2 means for the conversation."""
    hopeless = isinstance(error, HOPELESS) or _certificate(error)
    return Broken(error, sent=not isinstance(error, UNSENT), hopeless=hopeless, received=received)


def _certificate(error: BaseException | None) -> bool:
    """Whether the server's certificate is not valid: trying again cannot help."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def reply(response: httpx2.Response, body: bytes) -> Reply:
    """Return the reply of a response."""
    return Reply(response.status_code, dict(response.headers), body)


def is_stream(response: httpx2.Response) -> bool:
    """Whether the response is a stream of events."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return response.status_code == 200 and kind == "text/event-stream"


def event(found: httpx2.ServerSentEvent) -> Event:
    """Return an event."""
    return Event(found.id, found.event, found.data)


def part(target: Path) -> Path:
    """Return the path of a new file beside `target`, to be renamed when it is complete."""
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
