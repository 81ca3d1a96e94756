"""One POST to a receiver: the name is resolved once, and those addresses alone are connected to."""

from __future__ import annotations

import asyncio
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from asyncendpoints_core.resource.receiver_urls import DEFAULT_PORTS
from asyncendpoints_gateway.webhooks.schedule import read_retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asyncendpoints_core.common.time_source import TimeSource
    from asyncendpoints_core.resource.receiver_urls import ReceiverUrl
    from asyncendpoints_gateway.webhooks.addresses import AddressRules

MAX_ANSWER_BYTES: Final = 65_536
LEAST_STATUS: Final = 100
CONNECT_SECONDS: Final = 2.0
"""The least for one of several addresses, if that is not over half of the time."""
LOOKUP_THREADS: Final = 32
"""More than there are deliveries at a time: a name server that hangs delays no other receiver."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A receiver's answer: its status, 0 without one, and then the reason."""

    status: int
    problem: str = ""
    retry_after: float = 0.0

    @property
    def delivered(self) -> bool:
        """Whether the receiver has taken the event."""
        return 200 <= self.status < 300


class Refused(Exception):
    """A URL or address that webhooks are not sent to."""


class Lookup(Protocol):
    """Returns the addresses of a host name. Raises OSError."""

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Look up once."""
        ...


class SystemLookup:
    """The system's resolver, in threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, "webhook-lookup")

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """See Lookup."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    def close(self) -> None:
        """Start no more lookups."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Checked(AbstractResolver):
    """Returns an address that was resolved and checked before."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return it for whatever host."""
        return [
            ResolveResult(
                hostname=host,
                host=self._address,
                port=port,
                family=socket.AF_INET6 if ":" in self._address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        """Nothing to close."""


class Sender:
    """Sends requests to receivers within the rules of an installation."""

    def __init__(
        self,
        rules: AddressRules,
        time: TimeSource,
        lookup: Lookup,
        *,
        proxy: str | None = None,
        ca_bundle: str | None = None,
    ) -> None:
        """`proxy` is sent all of it by CONNECT and must then check addresses itself; `ca_bundle`
        are certificates (PEM) that are trusted instead of the system's.
        """
        self._rules = rules
        self._time = time
        self._lookup = lookup
        self._proxy = proxy
        self._tls = ssl.create_default_context(cadata=ca_bundle)

    async def post(
        self, url: ReceiverUrl, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> Answer:
        """Send one request and return the answer; whatever fails is an answer without a status."""
        answers: list[Answer] = []
        try:
            async with self._time.timeout(seconds):
                await self._post(url, headers, body, seconds, answers)
        except TimeoutError:
            problem = f"no answer within {seconds:g} s"
        except Refused as refusal:
            problem = str(refusal)
        except (ssl.SSLError, aiohttp.ClientSSLError):
            problem = "its certificate or TLS was not accepted"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            problem = f"the connection failed ({type(error).__name__})"
        else:
            problem = ""
        # A status decides, also when the rest of the answer is slow or cut.
        if answers and answers[0].status >= LEAST_STATUS:
            return answers[0]
        return Answer(0, problem or "the answer's status is not one of HTTP")

    async def _post(
        self,
        url: ReceiverUrl,
        headers: Mapping[str, str],
        body: bytes,
        seconds: float,
        answers: list[Answer],
    ) -> None:
        """Try the addresses in order; one that does not react leaves time to the others."""
        addresses = await self._addresses(url)
        share = max(seconds / max(1, len(addresses)), min(CONNECT_SECONDS, seconds / 2))
        for address in addresses[:-1]:
            with suppress(aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
                return await self._send(url, headers, body, answers, address, share)
        await self._send(url, headers, body, answers, addresses[-1] if addresses else None, None)

    async def _send(
        self,
        url: ReceiverUrl,
        headers: Mapping[str, str],
        body: bytes,
        answers: list[Answer],
        address: str | None,
        connect_seconds: float | None,
    ) -> None:
        connector = aiohttp.TCPConnector(
            resolver=None if address is None else _Checked(address),
            use_dns_cache=False,
            force_close=True,
            happy_eyeballs_delay=None,
            ssl=self._tls,
        )
        async with (
            aiohttp.ClientSession(
                connector=connector,
                trust_env=False,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds),
            ) as session,
            session.post(
                URL(url.url, encoded=True),
                data=body,
                headers=headers,
                allow_redirects=False,
                proxy=self._proxy,
            ) as response,
        ):
            retry_after = read_retry_after(
                response.headers.get("Retry-After", ""), self._time.now_ms()
            )
            answers.append(Answer(response.status, "", retry_after))
            left = MAX_ANSWER_BYTES  # read, so that closing does not reset the connection
            while left > 0 and (part := await response.content.read(left)):
                left -= len(part)

    async def _addresses(self, url: ReceiverUrl) -> Sequence[str]:
        """Resolve a host once; empty with a proxy, which resolves it.

        Raises Refused if any of its addresses is refused, or OSError.
        """
        rules, local = self._rules, (url.host, url.port) in self._rules.local
        if not local and url.port not in {*DEFAULT_PORTS.values(), *rules.ports}:
            raise Refused(f"port {url.port} is not allowed (webhooks.ports)")
        if self._proxy and url.scheme == "http":
            raise Refused("http: is not sent through a proxy (webhooks.proxy)")
        if url.is_address:
            found: Sequence[str] = [url.host]
        else:
            found = () if self._proxy else await self._lookup(url.host, url.port)
        if not found and not self._proxy:
            raise OSError("no address")
        if not local:
            for address in found:
                if reason := rules.refusal(address):
                    raise Refused(f"the address is refused: {reason}")
            if url.scheme == "http" and not all(map(rules.allows_plain, found)):
                raise Refused("http: is for addresses in webhooks.allowPrivateCidrs only")
        return () if self._proxy else found
