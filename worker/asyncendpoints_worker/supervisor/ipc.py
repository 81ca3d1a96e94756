"""Messages between supervisor and child: msgpack, each after its length in 4 bytes.

What must be known even of a child that can send nothing any more is on the run status page instead
(engine/run_status.py).
"""

from __future__ import annotations

import asyncio
import logging
import struct
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec

from asyncendpoints_core.jobs.policy import Policy
from asyncendpoints_core.process.setting_info import LogFormat
from asyncendpoints_worker.cgroup import default_concurrency
from asyncendpoints_worker.metrics import Snapshot

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable
    from pathlib import Path

    from asyncendpoints_core.process.settings import Settings
    from asyncendpoints_core.resource import AsyncEndpoint

log = logging.getLogger("asyncendpoints.worker")

_LENGTH: Final = struct.Struct(">I")
MAX_BYTES: Final = 16_777_216
"""Bytes of a message. The largest has the endpoint's document."""


class Init(msgspec.Struct, tag=True):
    """The first message to a child: all it needs to start. `endpoint` is the resource document."""

    endpoint: dict[str, Any]
    concurrency: int
    policy: Policy
    folders: list[str]
    redis_url: str | None = None
    redis_url_file: str | None = None
    http_target: str | None = None
    callback_host: str = "127.0.0.1"
    log_level: str = "info"
    log_format: LogFormat = "auto"
    history_folder: str | None = None


def init_of(
    endpoint: AsyncEndpoint, settings: Settings, folders: Iterable[Path], policy: Policy
) -> Init:
    """Return the first message to a child of a worker of `endpoint`."""
    worker, file = endpoint.spec.worker, settings.redis_url_file
    history = settings.history_folder
    return Init(
        endpoint=endpoint.document(),
        concurrency=worker.concurrency or default_concurrency(),
        policy=policy,
        folders=[str(folder) for folder in folders],
        redis_url=settings.redis_url,
        redis_url_file=None if file is None else str(file),
        http_target=settings.http_target,
        callback_host=settings.callback_host,
        log_level=settings.log_level,
        log_format=settings.log_format,
        history_folder=None if history is None else str(history),
    )


class Assign(msgspec.Struct, tag=True):
    """`worker` is registered: claim under this id."""

    worker: str


class LeaseLost(msgspec.Struct, tag=True):
    """`worker` lost its lease: abandon its jobs."""

    worker: str


class Cancel(msgspec.Struct, tag=True):
    """The jobs under these claim numbers were canceled."""

    numbers: list[int]


class Drain(msgspec.Struct, tag=True):
    """Claim nothing more; end when nothing runs and all outcomes are delivered."""


class ReleaseAll(msgspec.Struct, tag=True):
    """The drain time is over: stop running attempts and release their jobs."""


class Reconcile(msgspec.Struct, tag=True):
    """The store counts more jobs held here than the child does: compare."""


class ApplyPolicy(msgspec.Struct, tag=True):
    """The policy has changed."""

    policy: Policy


class Ready(msgspec.Struct, tag=True):
    """Handlers are imported and start-up functions have run: the child can claim."""

    handlers: tuple[str, ...]


class StartupFailed(msgspec.Struct, tag=True):
    """The handlers cannot be used; the child ends with status 2."""

    message: str


class CheckLease(msgspec.Struct, tag=True):
    """A claim was refused for lack of a lease."""

    worker: str


class RegisterAgain(msgspec.Struct, tag=True):
    """Nothing runs any more under the worker id that lost its lease."""


class MetricsReport(msgspec.Struct, tag=True):
    """What the child has counted since it started."""

    snapshot: Snapshot


ToChild = Init | Assign | LeaseLost | Cancel | Drain | ReleaseAll | Reconcile | ApplyPolicy
ToSupervisor = Ready | StartupFailed | CheckLease | RegisterAgain | MetricsReport

In = TypeVar("In")


class Channel(Generic[In]):
    """One end of the connection; receives messages of the types `incoming`."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, incoming: Any
    ) -> None:
        """Use a stream; `open_channel` creates one."""
        self._reader = reader
        self._writer = writer
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[In] = msgspec.msgpack.Decoder(incoming)

    def send(self, message: ToChild | ToSupervisor) -> None:
        """Send without waiting; does nothing if the peer has gone."""
        if not self._writer.is_closing():
            data = self._encoder.encode(message)
            self._writer.write(_LENGTH.pack(len(data)) + data)

    async def receive(self) -> In | None:
        """Return the next message, or None once the peer has gone or sent what is no message."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            if length <= MAX_BYTES:
                return self._decoder.decode(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError):
            return None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        log.error("a message between supervisor and child is malformed: closing their connection")
        return None

    async def finish(self) -> None:
        """Close this end after everything that was sent has left this process."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return

    def close(self) -> None:
        """Close this end."""
        self._writer.close()


async def open_channel(sock: socket.socket, incoming: Any) -> Channel[Any]:
    """Create a channel on one end of a socket pair."""
    reader, writer = await asyncio.open_unix_connection(sock=sock)
    return Channel(reader, writer, incoming)
