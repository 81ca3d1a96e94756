"""What goes wrong, one fault at a time; each ends by itself and leaves the system whole."""

import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis import Redis

from faults.system import System

# A snapshot or the load of a large AOF may take long on a busy machine.
REPLY_SECONDS = 120.0
S = TypeVar("S", bound=System)
Fault = Callable[[S, random.Random], Awaitable[None]]


def register(faults: dict[str, Fault[S]]) -> Callable[[Fault[S]], Fault[S]]:
    """Return a decorator that registers a fault under its function's name."""

    def fault(inject: Fault[S]) -> Fault[S]:
        faults[getattr(inject, "__name__", "")] = inject
        return inject

    return fault


def connected(url: str, **options: Any) -> Redis:
    """Return a client that faults are injected with; it waits for long."""
    return Redis.from_url(url, socket_timeout=REPLY_SECONDS, **options)
