"""An aiohttp with other internals: its public interface, a warning and a metric."""

import logging
from typing import Any

import aiohttp.web_protocol
import pytest
from aiohttp import web

from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_gateway.server.fast_path import probe
from asyncendpoints_gateway.server.fast_path.connection import FastConnection
from asyncendpoints_gateway.server.fast_path.parser_errors import ProblemConnection
from asyncendpoints_gateway.server.fast_path.response import PlainResponse
from support.http.gateway import serving

HANDLER = aiohttp.web_protocol.RequestHandler
POST = b"POST /reports/7 HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 1\r\n\r\n1"


async def test_the_installed_aiohttp_is_supported(caplog: pytest.LogCaptureFixture) -> None:
    assert probe.differences() == []
    async with serving(MemoryStore()) as site:
        metrics = site.server.gateway.metrics.scrape().decode()
        assert "asyncendpoints_gateway_fast_path 1.0" in metrics
    assert "fast path" not in caplog.text


async def test_a_missing_attribute_disables_the_fast_path(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Renamed(HANDLER):
        """A connection of an aiohttp that has renamed `_next_keepalive_close_time`."""

        def __getattribute__(self, name: str) -> Any:
            if name == "_next_keepalive_close_time":
                raise AttributeError(name)
            return super().__getattribute__(name)

    with monkeypatch.context() as patch:
        patch.setattr("aiohttp.web_server.RequestHandler", Renamed)
        expected = ["RequestHandler has no _next_keepalive_close_time"]
        assert probe.differences() == expected
    monkeypatch.setattr(probe, "differences", lambda: expected)
    async with serving(MemoryStore()) as site:
        [warning] = [r for r in caplog.records if "fast path" in r.getMessage()]
        assert warning.levelno == logging.WARNING
        assert expected[0] in warning.getMessage()
        assert aiohttp.__version__ in warning.getMessage()
        metrics = site.server.gateway.metrics.scrape().decode()
        assert "asyncendpoints_gateway_fast_path 0.0" in metrics
        assert (await site.submit()).status == 202
        assert (await site.raw(POST)).startswith(b"HTTP/1.1 202 ")
        fault = await site.raw(b"GARBAGE\r\n\r\n")
        assert fault.split(b" ")[1] == b"400"
        assert b"application/problem+json" not in fault


class NotWritten(PlainResponse):
    """Stands for an aiohttp that does not call `prepare`."""

    async def prepare(self, request: web.BaseRequest) -> None:
        pass


async def test_every_kind_of_difference_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def differs(name: str, value: Any, words: str) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(probe, name, value)
            assert probe.differences() == [words]

    differs("MODULES", {"aiohttp.streams": ("NEW",)}, "aiohttp.streams has no NEW")
    differs(
        "MODULES", {"aiohttp.none": ("A",)}, "ModuleNotFoundError: No module named 'aiohttp.none'"
    )
    differs("METHODS", {"_new": ()}, "RequestHandler has no _new")
    differs("METHODS", {"data_received": ()}, "RequestHandler.data_received has other parameters")
    differs("ATTRIBUTES", {"_new": bool}, "RequestHandler has no _new")
    differs("ATTRIBUTES", {"_close": float}, "RequestHandler._close is not of type float")
    differs("PlainResponse", NotWritten, "a response is prepared differently")
    differs(
        "FAULTS",
        {"uri-too-long": b"GARBAGE\r\n\r\n"},
        "the parser reports uri-too-long differently",
    )


async def test_a_removed_class_disables_the_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(aiohttp.web_protocol, "_ErrInfo")
    assert probe.differences() == ["aiohttp.web_protocol has no _ErrInfo"]


def test_everything_private_that_the_fast_path_uses_is_probed() -> None:
    used: set[str] = set()
    own: set[str] = set()
    for kind in (FastConnection, ProblemConnection):
        assert any(callable(function) for function in vars(kind).values())
        for function in vars(kind).values():
            used |= set(getattr(getattr(function, "__code__", None), "co_names", ()))
        own |= set(kind.__slots__) | set(vars(kind))
    private = {name for name in used if name.startswith("_")} - own - {"_ErrInfo", "__cause__"}
    assert private
    assert private <= set(probe.ATTRIBUTES) | set(probe.METHODS)
