"""What goes wrong, one fault at a time; each ends by itself and leaves the system whole."""

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from faults.system import System

S = TypeVar("S", bound=System)
Fault = Callable[[S, random.Random], Awaitable[None]]


def register(faults: dict[str, Fault[S]]) -> Callable[[Fault[S]], Fault[S]]:
    """Return a decorator that registers a fault under its function's name."""

    def fault(inject: Fault[S]) -> Fault[S]:
        faults[getattr(inject, "__name__", "")] = inject
        return inject

    return fault
