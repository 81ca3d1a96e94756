"""Trace context."""

import pytest

from asyncendpoints_core.process.telemetry import parse_traceparent

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
