"""Failing steps: when they are shown, when they are tried again, what is logged."""

import logging

import pytest

from asyncendpoints_core.common.time_source import ManualClock
from asyncendpoints_operator.control.failures import FIRST_SECONDS, MAX_SECONDS, Failures, Step
from asyncendpoints_operator.status.observed import Refusal, RefusalReason

STEP = Step("apply", "Service", "reports")
WHY = (RefusalReason.REFUSED, "webhook is down")
REFUSAL = Refusal("Service", "reports", *WHY)
ONE = ("demo/reports", "uid")


def test_a_failure_is_shown_after_five_seconds_and_retried_within_fifteen() -> None:
    clock = ManualClock()
    failures = Failures(clock.monotonic)
    shown_at: list[float] = []
    started = clock.monotonic()
    for _ in range(30):
        failures.record(*ONE, STEP, *WHY)
        if failures.shown("uid"):
            shown_at.append(clock.monotonic() - started)
        pause = failures.retry_seconds("uid")
        assert pause is not None
        assert 0 < pause <= 10
        assert not failures.due("uid", STEP)
        clock.advance(1000 * pause + 1)
        assert failures.due("uid", STEP)
    assert 5 <= shown_at[0] <= 7


def test_a_lasting_failure_is_shown_at_once() -> None:
    failures = Failures(ManualClock().monotonic)
    failures.record(*ONE, STEP, *WHY, lasting=True)
    assert failures.shown("uid") == (REFUSAL,)


def test_a_step_that_succeeds_or_is_not_needed_any_more_is_dropped() -> None:
    failures = Failures(ManualClock().monotonic)
    other = Step("apply", "Ingress", "reports")
    for step in (STEP, other):
        failures.record(*ONE, step, *WHY, lasting=True)
    failures.clear(*ONE, STEP)
    failures.keep(*ONE, "delete", ())
    assert failures.shown("uid") == (Refusal("Ingress", "reports", *WHY),)
    failures.keep(*ONE, "apply", {STEP})
    assert failures.retry_seconds("uid") is None


def test_equal_failures_are_logged_once_and_then_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failures = Failures(ManualClock().monotonic)
    with caplog.at_level(logging.INFO, "asyncendpoints.operator"):
        for _ in range(9):
            failures.record(*ONE, STEP, *WHY)
        failures.clear(*ONE, STEP)
    assert [record.getMessage() for record in caplog.records] == [
        "demo/reports: cannot apply Service reports: webhook is down",
        "demo/reports: apply Service reports: resolved after 9 failed attempts in 0 s",
    ]


def test_a_race_that_the_next_attempt_resolves_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failures = Failures(ManualClock().monotonic)
    with caplog.at_level(logging.INFO, "asyncendpoints.operator"):
        failures.record(*ONE, STEP, *WHY)
        failures.clear(*ONE, STEP)
    assert not caplog.records


def test_a_step_that_is_due_and_not_tried_again_waits() -> None:
    """Such as one that needs Redis, while that does not answer."""
    clock = ManualClock()
    failures = Failures(clock.monotonic)
    failures.record(*ONE, STEP, *WHY, lasting=True)
    clock.advance(60_000)
    assert failures.retry_seconds("uid") == MAX_SECONDS
    failures.record(*ONE, Step("apply", "Secret", "reports"), *WHY)
    assert failures.retry_seconds("uid") == pytest.approx(FIRST_SECONDS)
