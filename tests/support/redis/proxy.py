"""A proxy in front of a redis-server that loses, or answers itself, exactly what a test names.

The reply is the interesting one: the server has done what it was asked, and the client cannot know.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import Self

from support.ports import free_port
from support.redis.resp import decode_command, take_messages

Command = list[bytes]
"""Name in capitals and arguments, as the client sent them: `[b"EVALSHA", sha, b"3", key, …]`."""


class Loss(Enum):
    """What goes missing."""

    REPLY = "the server runs the command; its reply never arrives"
    REQUEST = "the command never reaches the server"
    ANSWERED = "the command never reaches the server; the proxy answers it"


class Fault:
    """A planned loss; `await fault.happened.wait()` returns once it took place."""

    def __init__(
        self,
        matches: Callable[[Command], bool],
        k: int,
        loss: Loss,
        *,
        stall: bool = False,
        half: bool = False,
        reply: bytes = b"",
    ) -> None:
        self.happened = asyncio.Event()
        self.half = half
        self.loss = loss
        self.stall = stall
        self.reply = reply
        self.count = 0
        self._matches = matches
        self._left = k

    def strikes(self, command: Command) -> bool:
        """Count `command` if it matches; tell whether it is the k-th that does."""
        if self.loss is Loss.ANSWERED:
            return self._matches(command)
        if self._left <= 0 or not self._matches(command):
            return False
        self._left -= 1
        return self._left == 0


class _Link:
    """One client's connection through the proxy."""

    def __init__(
        self,
        proxy: "ReplyDroppingProxy",
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy = proxy
        self._from_client, self._to_client = client
        self._from_server, self._to_server = server
        # One entry for each command under way: the fault that its reply meets, or None.
        self._awaited: deque[Fault | None] = deque()
        self.silent = False

    async def run(self) -> None:
        """Carry messages both ways until either side, or a fault, ends the connection."""
        ways = [asyncio.ensure_future(way) for way in (self._requests(), self._replies())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self.cut()

    def cut(self) -> None:
        """Reset both connections."""
        for writer in (self._to_client, self._to_server):
            writer.transport.abort()

    async def _requests(self) -> None:
        buffer = bytearray()
        while chunk := await self._from_client.read(1 << 16):
            buffer += chunk
            await self._carry(len(chunk))
            for message in take_messages(buffer):
                command = decode_command(message)
                fault = self._proxy.record(command)
                if fault is not None and fault.loss is Loss.REQUEST:
                    await self._suffer(fault)
                    return
                self._awaited.append(fault)
                if fault is not None and fault.loss is Loss.ANSWERED:
                    self._answer()
                    continue
                self._to_server.write(message)
            await self._to_server.drain()

    async def _replies(self) -> None:
        buffer = bytearray()
        while chunk := await self._from_server.read(1 << 16):
            buffer += chunk
            await self._carry(len(chunk))
            for message in take_messages(buffer):
                fault = None
                # What is pushed answers nothing (subscribers of RESP 2 get more than they asked).
                if not message.startswith(b">") and self._awaited:
                    fault = self._awaited.popleft()
                if fault is not None:
                    if fault.half:
                        self._to_client.write(message[: len(message) // 2])
                        self._to_client.close()  # unlike a reset, after what was written
                        await self._to_client.wait_closed()
                    await self._suffer(fault)
                    return
                if self._proxy.delay:
                    await asyncio.sleep(self._proxy.delay)
                self._to_client.write(message)
                self._answer()
            await self._to_client.drain()

    async def _carry(self, size: int) -> None:
        """Take as long as `size` bytes need; forever if the connection fell silent."""
        if self._proxy.bytes_per_second:
            await asyncio.sleep(size / self._proxy.bytes_per_second)
        if self.silent:
            await asyncio.Event().wait()  # until the client gives up, or the proxy is closed

    def _answer(self) -> None:
        """Answer what is next in line, as long as that is the proxy's to answer."""
        while self._awaited and (fault := self._awaited[0]) and fault.loss is Loss.ANSWERED:
            self._awaited.popleft()
            fault.count += 1
            fault.happened.set()
            self._to_client.write(fault.reply)

    async def _suffer(self, fault: Fault) -> None:
        fault.happened.set()
        if fault.stall:
            await asyncio.Event().wait()  # until the client gives up, or the proxy is closed


class ReplyDroppingProxy:
    """Listens on a port of its own and forwards to a redis-server.

    `commands` counts what went through, by name. `delay` (seconds) holds every reply back;
    `bytes_per_second`, unless 0, is what each way of a connection carries.
    """

    def __init__(self, host: str, port: int) -> None:
        self.delay = 0.0
        self.bytes_per_second = 0
        self.commands: Counter[str] = Counter()
        self.port = 0
        self._target = host, port
        self._faults: list[Fault] = []
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The URL of database 0 through the proxy."""
        return f"redis://127.0.0.1:{self.port}/0"

    def record(self, command: Command) -> Fault | None:
        """Count a command on its way; return the fault that it meets, if one is planned."""
        self.commands[command[0].decode()] += 1
        struck = [fault for fault in self._faults if fault.strikes(command)]
        return struck[0] if struck else None

    def drop_reply(
        self,
        matches: Callable[[Command], bool],
        k: int = 1,
        *,
        stall: bool = False,
        half: bool = False,
    ) -> Fault:
        """Lose the reply to the `k`-th command from now on that `matches`.

        The connection is reset when the reply comes, or, with `stall`, stays open and silent. With
        `half`, the first half of the reply arrives, then the connection ends.
        """
        return self._plan(Fault(matches, k, Loss.REPLY, stall=stall, half=half))

    def drop_request(
        self, matches: Callable[[Command], bool], k: int = 1, *, stall: bool = False
    ) -> Fault:
        """Lose the `k`-th command from now on that `matches`, before the server sees it."""
        return self._plan(Fault(matches, k, Loss.REQUEST, stall=stall))

    def answer(self, matches: Callable[[Command], bool], reply: str) -> Fault:
        """Answer every command that `matches` with an error `reply`, until `forward`."""
        return self._plan(Fault(matches, 1, Loss.ANSWERED, reply=f"-{reply}\r\n".encode()))

    def forward(self) -> None:
        """Drop every plan: all commands reach the server again."""
        self._faults.clear()

    def _plan(self, fault: Fault) -> Fault:
        self._faults.append(fault)
        return fault

    async def start(self) -> Self:
        """Listen; on the same port again after `refuse`."""
        self.port = self.port or free_port()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            server = await asyncio.open_connection(*self._target)
            link = _Link(self, (reader, writer), server)
            self._links.add(link)
            try:
                await link.run()
            finally:
                self._links.discard(link)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._tasks.discard(task)

    def cut(self) -> None:
        """Reset every open connection; new ones are accepted."""
        for link in list(self._links):
            link.cut()

    def fall_silent(self) -> None:
        """Carry nothing more on the open connections, which stay open; new ones work."""
        for link in self._links:
            link.silent = True

    def refuse(self) -> None:
        """Reset every open connection and refuse new ones until `start`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    async def close(self) -> None:
        """Stop listening and end every connection."""
        self.refuse()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
