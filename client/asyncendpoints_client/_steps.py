"""What a conversation with the gateway consists of: the steps that a shell carries out.

Everything that decides is a generator of steps (`Steps`), the same for both clients. A shell runs
it: it sends what it is given and returns the reply, or throws `Broken` into the generator.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Timing:
    """The clocks and the sleeps of a client, in seconds, and its random numbers in [0, 1); tests
    replace them.
    """

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    random: Callable[[], float] = random.random
    sleep: Callable[[float], None] = time.sleep
    async_sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; `path` is below the client's base URL.

    `patience` is how many seconds the server may take to answer.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    body: bytes | None = None
    patience: float = 15.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A response, read whole unless its bytes went elsewhere. Names of headers are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Broken(Exception):
    """No whole response came. `sent`: whether the server may have got the request.

    `hopeless`: whether sending it again cannot help. `received` counts the bytes of a download.
    """

    def __init__(self, cause: Exception, *, sent: bool, hopeless: bool, received: int = 0) -> None:
        super().__init__(str(cause) or type(cause).__name__)
        self.cause = cause
        self.sent = sent
        self.hopeless = hopeless
        self.received = received


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request within `seconds`, and return its Reply."""

    request: Request
    seconds: float


@dataclass(frozen=True, slots=True)
class Save:
    """As Send, but the bytes of a 200 are written to the new file `path`."""

    request: Request
    seconds: float
    path: Path


@dataclass(frozen=True, slots=True)
class Open:
    """As Send, but the stream of a 200 with text/event-stream stays open for Next."""

    request: Request
    seconds: float


@dataclass(frozen=True, slots=True)
class Next:
    """Return the next Event of the open stream, None at its end."""


@dataclass(frozen=True, slots=True)
class Event:
    """A server-sent event."""

    id: str
    name: str
    data: str


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait."""

    seconds: float


Step = Send | Save | Open | Next | Sleep
Steps = Generator[Step, Any, T]
