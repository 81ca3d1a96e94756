"""Sockets that listen: on every address of a host, or an error."""

import errno
import socket
from typing import Any

import pytest

from asyncendpoints_core.common.listening import open_sockets


async def test_a_port_that_another_process_opens_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both can bind as long as none listens; then listen(2) of the second fails."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))

        class Overtaken(socket.socket):
            def bind(self, address: Any) -> None:
                super().bind(address)
                other.listen()

        monkeypatch.setattr("socket.socket", Overtaken)
        with pytest.raises(OSError, match="in use") as caught:
            await open_sockets("127.0.0.1", other.getsockname()[1])
    assert caught.value.errno == errno.EADDRINUSE


async def test_each_address_of_a_host() -> None:
    found = await open_sockets("", 0)
    assert {each.family for each in found} >= {socket.AF_INET}
    for each in found:
        assert each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
        each.close()


async def test_none_stays_open_when_one_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[socket.socket] = []
    create = socket.create_server

    def create_one(*args: Any, **options: Any) -> socket.socket:
        if opened:
            raise OSError(errno.EADDRINUSE, "in use")
        opened.append(create(*args, **options))
        return opened[-1]

    monkeypatch.setattr("socket.create_server", create_one)
    try:
        found = await open_sockets("", 0)
    except OSError:
        assert [each.fileno() for each in opened] == [-1]
    else:  # a machine without IPv6
        assert len(found) == 1
        found[0].close()


async def test_a_family_that_the_machine_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    create = socket.create_server

    def create_v4(address: Any, *, family: int, **options: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "not supported")
        return create(address, family=family, **options)

    monkeypatch.setattr("socket.create_server", create_v4)
    [found] = await open_sockets("", 0)
    found.close()
    with pytest.raises(OSError, match="not supported"):
        await open_sockets("::1", 0)
