"""Logs, for people and for machines; trace context."""

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from asyncendpoints_core.process.telemetry import (
    JsonFormatter,
    TextFormatter,
    configure_logging,
    parse_traceparent,
)


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("asyncendpoints")
    handlers, level, own = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    ours.setLevel(own)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_json_unless_it_is_a_terminal() -> None:
    out = io.StringIO()
    configure_logging("info", "auto", out)
    log = logging.getLogger("asyncendpoints.gateway")
    log.info("it went %s", "well", extra={"job_id": "j1"})
    log.debug("not shown")
    logging.getLogger("aiohttp.access").info("not shown either")
    [line] = out.getvalue().splitlines()
    shown = json.loads(line)
    assert shown["time"].endswith("Z")
    del shown["time"]
    assert shown == {
        "level": "info",
        "logger": "asyncendpoints.gateway",
        "message": "it went well",
        "job_id": "j1",
    }


def test_text_on_a_terminal() -> None:
    out = Terminal()
    configure_logging("debug", "auto", out)
    logging.getLogger("asyncendpoints.worker").warning("careful", extra={"job_id": "j1"})
    assert "warning worker: careful job_id=j1" in out.getvalue()
    assert out.getvalue().startswith("\x1b[33m")


def test_the_form_can_be_chosen() -> None:
    out = Terminal()
    configure_logging("info", "json", out)
    logging.getLogger("asyncendpoints").error("x")
    assert json.loads(out.getvalue())["message"] == "x"
    out = Terminal()
    configure_logging("info", "text", io.StringIO())
    assert isinstance(logging.getLogger().handlers[0].formatter, TextFormatter)


def test_a_message_cannot_forge_a_line() -> None:
    record = logging.makeLogRecord({"name": "x", "levelname": "INFO", "msg": "a\r\nb\x1b[2J"})
    assert "\n" not in TextFormatter().format(record)
    assert "\x1b" not in TextFormatter().format(record)
    assert "\n" not in JsonFormatter().format(record)


def test_an_exception_is_shown_in_both() -> None:
    try:
        raise ValueError("inner")
    except ValueError:
        record = logging.makeLogRecord(
            {"name": "x", "levelname": "INFO", "msg": "failed", "exc_info": sys.exc_info()}
        )
    assert "ValueError: inner" in TextFormatter().format(record)
    assert "ValueError: inner" in json.loads(JsonFormatter().format(record))["error"]


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        (TRACE, TRACE),
        (f" {TRACE} ", TRACE),
        (TRACE.replace("00-", "cc-", 1) + "-more", TRACE),
        (TRACE.replace("00-", "cc-", 1), TRACE.replace("00-", "cc-", 1)),
        (TRACE + "-more", None),
        (TRACE.replace("00-", "ff-", 1), None),
        (TRACE.upper(), None),
        (TRACE.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32), None),
        (TRACE.replace("b7ad6b7169203331", "0" * 16), None),
        ("", None),
        ("nonsense", None),
    ],
)
def test_traceparent(value: str, valid: str | None) -> None:
    assert parse_traceparent(value) == valid
