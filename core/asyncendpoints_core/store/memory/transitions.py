"""The transitions of the state machine on one record; each function is a row of states.TABLE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncendpoints_core.jobs.records import (
    MAX_ATTEMPTS_KEPT,
    MAX_RELEASES,
    Attempt,
    ErrorCode,
    JobError,
    OutcomeKind,
)
from asyncendpoints_core.jobs.retry import backoff_ms
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.memory.record import Record, encode

if TYPE_CHECKING:
    from asyncendpoints_core.jobs.records import Outcome
    from asyncendpoints_core.store.memory.data import Data

_OUTCOMES = {
    OutcomeKind.COMPLETE: "completed",
    OutcomeKind.RETRY: "retry",
    OutcomeKind.FAIL: "failed",
    OutcomeKind.TIME_OUT: "timed-out",
}
_TOTALS = {State.COMPLETED: "completed", State.FAILED: "failed", State.CANCELED: "canceled"}


def end_run(
    data: Data, record: Record, now: int, outcome: str, error: JobError | None = None
) -> None:
    """Add the current run to a job's history."""
    run = Attempt(record.attempt, record.started_ms, now, outcome, error)
    record.attempts = (*record.attempts, run)[-MAX_ATTEMPTS_KEPT:]
    data.totals["busy_ms"] += max(0, now - record.started_ms)


def finish(
    data: Data, record: Record, now: int, state: State, error: JobError | None = None
) -> None:
    """Put a job into a final state; a Failed one without `error` keeps the last one it had."""
    record.state = state
    record.completed_ms = now
    record.suspect = False
    record.error = (error or record.error) if state is State.FAILED else None
    data.totals[_TOTALS[state]] += 1
    data.save(record, now)


def append_to_queue(data: Data, record: Record, now: int) -> None:
    """Put a job at the tail of its queue."""
    record.state = State.QUEUED
    record.seq = data.next_seq()
    record.ready_ms = now
    if record.suspect:
        record.eligible_ms = now
    data.save(record, now, new=record.id not in data.records)


def promote(data: Data, record: Record, now: int) -> bool:
    """Queue a due Scheduled job; return False if it had expired."""
    if expire_if_over(data, record, now):
        return False
    append_to_queue(data, record, now)
    return True


def expire_if_over(data: Data, record: Record, now: int) -> bool:
    """Fail a waiting job whose time to live is over; return whether it was."""
    end = data.expires(record, now)
    if record.final or not end or now < end:
        return False
    missing = record.error is not None and record.error.code == ErrorCode.HANDLER_MISSING
    error = record.error if missing else JobError(ErrorCode.EXPIRED, "its time to live is over")
    data.totals["expired"] += 1
    finish(data, record, now, State.FAILED, error)
    return True


def _requeue(data: Data, record: Record, now: int, eligible_ms: int) -> None:
    record.state = State.QUEUED
    record.ready_ms = now
    record.eligible_ms = eligible_ms if record.suspect else 0
    data.save(record, now)


def _uncharge_attempt(record: Record, *, started: bool) -> None:
    record.attempt = max(0, record.attempt - 1)
    # An uncharged run leaves one of these: the job has been started before.
    ran = started or record.crashes or record.releases or record.suspect
    if record.attempt == 0 and not ran:
        record.started_ms = 0  # no handler ever started: its time to live goes on


def release(
    data: Data,
    record: Record,
    now: int,
    outcome: str,
    *,
    started: bool,
    charged: bool = True,
    delay_ms: int = 0,
    error: JobError | None = None,
) -> None:
    """Requeue a running job without counting its attempt.

    If it had `started`, the run is in its history and, if `charged`, in the releases budget.
    """
    if started:
        end_run(data, record, now, "canceled" if record.cancel_requested_ms else outcome)
    if record.cancel_requested_ms:
        finish(data, record, now, State.CANCELED)
        return
    _uncharge_attempt(record, started=started)
    record.error = error or record.error
    if started and charged:
        record.releases += 1
        if record.releases > MAX_RELEASES:
            text = f"handed back {record.releases} times without ending"
            finish(data, record, now, State.FAILED, JobError(ErrorCode.NEVER_FINISHED, text))
            return
    if delay_ms:
        schedule(data, record, now, delay_ms)
    else:
        _requeue(data, record, now, now)


def schedule(data: Data, record: Record, now: int, delay_ms: int) -> None:
    """Make a job wait for `delay_ms`."""
    record.state = State.SCHEDULED
    record.not_before_ms = now + delay_ms
    data.save(record, now)


def crash_alone(data: Data, record: Record, now: int, how: str) -> None:
    """Charge a crash to the only job that ran: it becomes a suspect, or Failed past its budget.

    `how`: how the process ended, empty if unknown.
    """
    retry = data.rules.retry
    record.crashes += 1
    data.totals["crashed"] += 1
    if record.crashes > retry.max_crashes:
        times = "once" if record.crashes == 1 else f"{record.crashes} times"
        text = f"its worker's process died {times} while running it{how and f': {how}'}"
        error = JobError(ErrorCode.WORKER_CRASHED, text)
        end_run(data, record, now, "failed", error)
        _uncharge_attempt(record, started=True)
        finish(data, record, now, State.FAILED, error)
        return
    end_run(data, record, now, "recovered", _crash_error(how))
    _uncharge_attempt(record, started=True)
    record.suspect = True
    wait = backoff_ms(retry, record.crashes - 1) if record.crashes > 1 else 0
    _requeue(data, record, now, now + wait)


def crash_beside_others(data: Data, record: Record, now: int, how: str) -> None:
    """Make a job that ran beside others a suspect, without charging it."""
    end_run(data, record, now, "recovered", _crash_error(how))
    _uncharge_attempt(record, started=True)
    record.suspect = True
    _requeue(data, record, now, now)


def _crash_error(how: str) -> JobError | None:
    text = f"its worker's process died: {how}"
    return JobError(ErrorCode.WORKER_CRASHED, text, True) if how else None


def settle(data: Data, record: Record, outcome: Outcome, now: int) -> None:
    """Apply the outcome of a claim that is current."""
    kind = outcome.kind
    stands = kind in (OutcomeKind.COMPLETE, OutcomeKind.FAIL)
    if kind is OutcomeKind.CANCELED or (record.cancel_requested_ms and not stands):
        if outcome.started:
            end_run(data, record, now, "canceled")
        finish(data, record, now, State.CANCELED)
    elif kind is OutcomeKind.RELEASE:
        data.totals["released"] += 1
        release(
            data,
            record,
            now,
            "released",
            started=outcome.started,
            delay_ms=outcome.delay_ms,
            error=outcome.error,
        )
    else:
        end_run(data, record, now, _OUTCOMES[kind], outcome.error)
        _end(data, record, outcome, now)


def _end(data: Data, record: Record, outcome: Outcome, now: int) -> None:
    kind = outcome.kind
    if kind is OutcomeKind.TIME_OUT:
        data.totals["timed_out"] += 1
    if kind is OutcomeKind.COMPLETE:
        if outcome.result is not None:
            data.results[record.id] = encode(outcome.result)
        finish(data, record, now, State.COMPLETED)
    elif kind is OutcomeKind.FAIL or outcome.final:
        finish(data, record, now, State.FAILED, outcome.error)
    else:
        data.totals["retried"] += kind is OutcomeKind.RETRY
        record.error = outcome.error
        record.suspect = False
        schedule(data, record, now, outcome.delay_ms)


def redrive(data: Data, record: Record, now: int) -> None:
    """Queue a Failed or Canceled job again as if it were new, keeping its history."""
    record.attempt = record.crashes = record.releases = 0
    record.started_ms = record.completed_ms = record.not_before_ms = 0
    record.cancel_requested_ms = 0
    record.base_ms, record.limit_ms, record.paused_ms = now, 0, data.paused_for(now)
    record.progress = record.error = None
    data.results.pop(record.id, None)
    data.totals["redriven"] += 1
    append_to_queue(data, record, now)
