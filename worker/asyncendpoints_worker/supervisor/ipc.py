"""What supervisor and child say to each other: msgpack messages, each after its length in 4 bytes.

What must be known even of a child that can say nothing any more stands on the board instead.
"""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec

from asyncendpoints_core.jobs.policy import Policy
from asyncendpoints_core.process.telemetry import LogFormat
from asyncendpoints_worker.cpu import default_concurrency
from asyncendpoints_worker.metrics import Snapshot

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable
    from pathlib import Path

    from asyncendpoints_core.process.settings import Settings
    from asyncendpoints_core.resource import AsyncEndpoint

_LENGTH: Final = struct.Struct(">I")


class Init(msgspec.Struct, tag=True):
    """The first message to a child: everything it needs to begin. `endpoint`: the document."""

    endpoint: dict[str, Any]
    concurrency: int
    policy: Policy
    folders: list[str]
    redis_url: str | None = None
    redis_url_file: str | None = None
    http_target: str | None = None
    log_level: str = "info"
    log_format: LogFormat = "auto"


def init_of(
    endpoint: AsyncEndpoint, settings: Settings, folders: Iterable[Path], policy: Policy
) -> Init:
    """Return what a child of a worker of `endpoint` is told first."""
    worker, file = endpoint.spec.worker, settings.redis_url_file
    return Init(
        endpoint=endpoint.document(),
        concurrency=worker.concurrency or default_concurrency(),
        policy=policy,
        folders=[str(folder) for folder in folders],
        redis_url=settings.redis_url,
        redis_url_file=None if file is None else str(file),
        http_target=settings.http_target,
        log_level=settings.log_level,
        log_format=settings.log_format,
    )


class Assign(msgspec.Struct, tag=True):
    """`worker` is registered: claim as it."""

    worker: str


class Gone(msgspec.Struct, tag=True):
    """`worker` lost its lease: abandon its jobs."""

    worker: str


class Cancel(msgspec.Struct, tag=True):
    """Clients canceled the jobs under these claim numbers."""

    numbers: list[int]


class Drain(msgspec.Struct, tag=True):
    """Claim nothing more; end when nothing runs and all is delivered."""


class ReleaseAll(msgspec.Struct, tag=True):
    """The time to finish is over: end what runs and hand it back."""


class Reconcile(msgspec.Struct, tag=True):
    """The store thinks you hold more than you do: compare."""


class Follow(msgspec.Struct, tag=True):
    """The policy has changed."""

    policy: Policy


class Ready(msgspec.Struct, tag=True):
    """Handlers are imported and started: the child can claim."""

    handlers: tuple[str, ...]


class Refused(msgspec.Struct, tag=True):
    """A fault in what the user gave; the child ends with status 2."""

    message: str


class Doubt(msgspec.Struct, tag=True):
    """A claim was refused for want of a lease."""

    worker: str


class Vacated(msgspec.Struct, tag=True):
    """Nothing of the lost incarnation runs any more."""


class Figures(msgspec.Struct, tag=True):
    """What the child has measured since it began."""

    snapshot: Snapshot


ToChild = Init | Assign | Gone | Cancel | Drain | ReleaseAll | Reconcile | Follow
ToSupervisor = Ready | Refused | Doubt | Vacated | Figures

In = TypeVar("In")


class Channel(Generic[In]):
    """One end of the pipe; receives messages of the types `incoming`."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, incoming: Any
    ) -> None:
        """Speak over a stream; `open_channel` makes one."""
        self._reader = reader
        self._writer = writer
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[In] = msgspec.msgpack.Decoder(incoming)

    def send(self, message: ToChild | ToSupervisor) -> None:
        """Send without waiting; to a peer that is gone, nothing."""
        if not self._writer.is_closing():
            data = self._encoder.encode(message)
            self._writer.write(_LENGTH.pack(len(data)) + data)

    async def receive(self) -> In | None:
        """Return the next message, None when the peer is gone."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            return self._decoder.decode(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError):
            return None

    async def finish(self) -> None:
        """Close this end once everything that was sent has left this process."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return

    def close(self) -> None:
        """Close this end."""
        self._writer.close()


async def open_channel(sock: socket.socket, incoming: Any) -> Channel[Any]:
    """Make a channel of one end of a socket pair."""
    reader, writer = await asyncio.open_unix_connection(sock=sock)
    return Channel(reader, writer, incoming)
