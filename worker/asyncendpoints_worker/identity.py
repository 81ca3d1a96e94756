"""Worker ids, which are never used twice (docs/rules.md S4)."""

from __future__ import annotations

import os
import secrets
import socket
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from asyncendpoints_core.store.replies import WorkerInfo

MAX_HANDLERS: Final = 1_000


class WorkerIds:
    """Creates the ids of one supervisor's children: pod, start nonce, child, generation.

    Only in a cluster does a successor have the same pod name: that is how a restarted container
    takes back what its predecessor held. Elsewhere several supervisors share a host, and none may
    mistake the others for its own predecessors.
    """

    def __init__(self, pod: str = "") -> None:
        """Use `pod` (the pod's UID), else a name created for this start."""
        self.nonce = secrets.token_hex(4)
        self.started_ms = time.time_ns() // 1_000_000
        self.pod = pod or f"{socket.gethostname()}-{os.getpid()}-{self.nonce}"
        self._children = 0
        self._last_crash, self._last_crash_ms = "", 0

    def new_child(self) -> int:
        """Return the number of a new child."""
        self._children += 1
        return self._children

    def crashed(self, how: str, at_ms: int) -> None:
        """Report, with the workers that are registered from now on, how a child died."""
        self._last_crash, self._last_crash_ms = how, at_ms

    def info(
        self, child: int, generation: int, concurrency: int, handlers: tuple[str, ...]
    ) -> WorkerInfo:
        """Return the worker to register for one generation of a child."""
        return WorkerInfo(
            id=f"{self.pod}.{self.nonce}.{child}.{generation}",
            pod=self.pod,
            nonce=self.nonce,
            concurrency=concurrency,
            handlers=handlers[:MAX_HANDLERS],
            version=own_version(),
            started_ms=self.started_ms,
            last_crash=self._last_crash,
            last_crash_ms=self._last_crash_ms,
            host=socket.gethostname(),
        )


def own_version() -> str:
    """Return the version of the installed distribution, empty if it is not installed."""
    try:
        return version("asyncendpoints")
    except PackageNotFoundError:
        return ""
