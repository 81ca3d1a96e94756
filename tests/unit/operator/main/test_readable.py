"""What can be listed: by namespace, and for how long nothing could."""

import logging

import pytest

from asyncendpoints_core.common.time_source import ManualClock
from asyncendpoints_operator.kube.client import Refused
from asyncendpoints_operator.main.cluster_sync import Readable

FORBIDDEN = Refused(403, "Forbidden", "pods is forbidden")


def test_nothing_is_readable_until_a_list_succeeds_and_when_the_last_one_fails() -> None:
    clock = ManualClock()
    readable = Readable(clock.monotonic)
    clock.advance(61_000)
    assert readable.blind_seconds == 61
    for kind in ("Pod", "Service"):
        readable.succeeded(kind, None)
    clock.advance(300_000)
    assert readable.blind_seconds == 0
    for kind in ("Pod", "Service"):
        readable.failed(kind, None, FORBIDDEN)
    clock.advance(7_000)
    assert readable.blind_seconds == 7
    readable.succeeded("Pod", None)
    assert readable.blind_seconds == 0


def test_a_namespace_that_is_refused_is_one_line_until_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    readable = Readable(ManualClock().monotonic)
    readable.succeeded("Pod", "kept")
    with caplog.at_level(logging.INFO, "asyncendpoints.operator"):
        for _ in range(3):
            for kind in ("Pod", "Service"):
                readable.failed(kind, "gone", FORBIDDEN)
        assert readable.unreadable == {"gone": 2}
        assert readable.blind_seconds == 0
        for kind in ("Pod", "Service"):
            readable.succeeded(kind, "gone")
    assert readable.unreadable == {}
    assert [record.getMessage() for record in caplog.records] == [
        "namespace gone cannot be read yet: pods is forbidden",
        "namespace gone can be read again",
    ]
