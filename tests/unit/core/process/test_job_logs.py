"""The log of a running attempt: which records become lines, and how many are kept."""

import logging
import threading
from collections.abc import Iterator

import pytest

from asyncendpoints_core.process.job_logs import (
    MAX_LINE_BYTES,
    Capture,
    JobLog,
    JobLogHandler,
    current_log,
)

user = logging.getLogger("reports.jobs")


@pytest.fixture(autouse=True)
def _levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def kept(limit: int = 16_384) -> JobLog:
    """Make what this context logs belong to a new log."""
    log = JobLog(limit, lambda: None)
    current_log.set(log)
    return log


@pytest.fixture
def capture() -> Iterator[Capture]:
    captured = Capture("INFO", traces=False)
    captured.attach()
    yield captured
    captured.detach()
    current_log.set(None)


@pytest.mark.usefixtures("capture")
def test_records_become_lines() -> None:
    log = kept()
    user.info("checking %s", "a-17")
    user.debug("not at this level")
    logging.getLogger("asyncendpoints.worker").warning("handler failed")
    first, second = log.take().decode().splitlines()
    assert first[23:] == "Z INFO reports.jobs: checking a-17"
    assert second[23:] == "Z WARNING worker: handler failed"
    assert log.take() == b""


@pytest.mark.parametrize("traces", [True, False])
def test_an_exception_is_one_line_unless_tracebacks_are_kept(traces: bool) -> None:
    captured = Capture("INFO", traces=traces)
    captured.attach()
    log = kept()
    try:
        raise ValueError("no such account\nat all")
    except ValueError:
        user.exception("it failed")
    finally:
        captured.detach()
    head, *rest = log.take().decode().splitlines()
    assert head.endswith("ERROR reports.jobs: it failed")
    assert rest[-2:] == ["ValueError: no such account", "at all"]
    assert (rest[0].startswith("Traceback"), len(rest) > 2) == (traces, traces)


@pytest.mark.usefixtures("capture")
def test_the_oldest_lines_are_dropped_and_that_is_said() -> None:
    log = kept(1_000)
    for number in range(100):
        user.info("line %d", number)
    lines = log.take().decode().splitlines()
    assert lines[0].endswith(" lines dropped]")
    assert lines[-1].endswith("line 99")
    assert len("\n".join(lines)) < 1_000
    user.info("more")
    assert "dropped" not in log.take().decode()


@pytest.mark.usefixtures("capture")
def test_a_long_line_is_cut_between_characters() -> None:
    log = kept()
    user.info("☃" * 5_000)
    user.info("short")
    first, second = log.take().splitlines(keepends=True)
    assert MAX_LINE_BYTES - 3 < len(first) <= MAX_LINE_BYTES
    assert first.decode().endswith("☃ [cut]\n")
    assert second.endswith(b"short\n")


@pytest.mark.usefixtures("capture")
def test_a_long_line_fits_the_smallest_log() -> None:
    log = kept(MAX_LINE_BYTES)
    user.info("short")
    user.info("x" * 9_000)
    note, line = log.take().decode().splitlines()
    assert note == "[1 line dropped]"
    assert line.endswith("x [cut]")


def test_a_record_that_cannot_be_formatted_does_not_stop_the_handler() -> None:
    log = kept()
    handler = JobLogHandler("INFO", traces=False, own=False)  # alone: pytest's own raises
    for text, arguments in (("%d of %d", ("one",)), ("lone surrogate \ud800", ())):
        handler.handle(user.makeRecord(user.name, logging.INFO, "", 0, text, arguments, None))
    first, second = log.take().decode().splitlines()
    assert first.endswith("'%d of %d' [cannot be formatted]")
    assert second.endswith("lone surrogate \\ud800")


def test_the_users_configuration_may_come_later(capture: Capture) -> None:
    log = kept()
    root = logging.getLogger()
    before = root.handlers[:]
    root.handlers.clear()
    capture.attach()
    user.info("kept")
    root.handlers[:] = before
    assert log.take().endswith(b"kept\n")


@pytest.mark.usefixtures("capture")
def test_what_no_attempt_logs_is_not_kept() -> None:
    log = kept()
    thread = threading.Thread(target=user.info, args=("a thread of its own",))
    thread.start()
    thread.join()
    assert log.take() == b""
