"""Messages between supervisor and child: read as they were sent; garbage ends the connection."""

import asyncio
import socket
import struct

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncendpoints_core.jobs.policy import Policy
from asyncendpoints_worker.supervisor import ipc

MESSAGES: list[ipc.ToChild] = [
    ipc.Init({"spec": {"routes": []}}, 4, Policy(), ["/handlers"]),
    ipc.Assign("w1"),
    ipc.Cancel([1, 2**63]),
    ipc.ApplyPolicy(Policy()),
    ipc.Drain(),
]


def frame(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


VALID = b"".join(frame(msgspec.msgpack.encode(each)) for each in MESSAGES)
changes = st.lists(
    st.tuples(st.integers(0, len(VALID)), st.integers(0, 8), st.binary(max_size=8)), max_size=4
)


def changed(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for at, removed, added in edits:
        data = data[:at] + added + data[at + removed :]
    return data


streams = st.one_of(
    st.binary(max_size=300),
    st.lists(st.binary(max_size=60).map(frame), max_size=5).map(b"".join),
    changes.map(lambda edits: changed(VALID, edits)),
)


async def received(data: bytes) -> list[ipc.ToChild]:
    """Return the messages in `data`, up to the end or the first fault."""
    ours, theirs = socket.socketpair()
    channel = await ipc.open_channel(ours, ipc.ToChild)
    loop = asyncio.get_running_loop()
    theirs.setblocking(False)
    sending = asyncio.create_task(loop.sock_sendall(theirs, data))
    sending.add_done_callback(lambda _: theirs.shutdown(socket.SHUT_WR))
    found: list[ipc.ToChild] = []
    try:
        while (message := await asyncio.wait_for(channel.receive(), 20)) is not None:
            found.append(message)
        return found
    finally:
        sending.cancel()
        await channel.finish()
        theirs.close()


async def test_messages_arrive_as_they_were_sent() -> None:
    assert await received(VALID) == MESSAGES


@settings(max_examples=60)
@given(streams)
def test_no_bytes_raise_or_hang(data: bytes) -> None:
    for message in asyncio.run(received(data)):
        assert isinstance(message, ipc.ToChild)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 4 + b"x" * 100,
        frame(b""),
        frame(b"\xc1"),
        frame(msgspec.msgpack.encode({"type": "Assign", "worker": 1})),
        frame(b"\x91" * 5_000),
        frame(b"\x82\xa4type\xa6Assign\xa6worker\xa1\xff"),
        frame(msgspec.msgpack.encode({"type": "Init", "endpoint": {}})[:-1] + b"\x91" * 5_000),
    ],
)
async def test_garbage_ends_the_connection(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    assert await received(frame(msgspec.msgpack.encode(ipc.Drain())) + data) == [ipc.Drain()]
    assert "is malformed" in caplog.text
