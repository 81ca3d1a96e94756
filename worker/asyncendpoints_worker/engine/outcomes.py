"""What becomes of an attempt: the error or the stop that ended it, as an outcome for the store."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.errors import PermanentError, RetryAfter
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import (
    MAX_ERROR_CHARS,
    ErrorCode,
    JobError,
    Outcome,
    canceled,
    fail,
    release,
    retry_later,
    timed_out,
)
from asyncendpoints_core.jobs.retry import decide
from asyncendpoints_worker.handlers.attempt import (
    AttemptFailed,
    ConnectionLost,
    NotDelivered,
    RunningAttempt,
    Stop,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from asyncendpoints_core.jobs.policy import Policy
    from asyncendpoints_core.jobs.records import Claim, ClaimedJob, Job

log = logging.getLogger("asyncendpoints.worker")
_PACKAGE: Final = Path(__file__).parent.parent
MAX_ERRORS_SHOWN: Final = 10
MAX_CODE_BYTES: Final = 255
MISSING_DELAY_MS: Final = 2_000
TIMEOUT_MESSAGE: Final = "the execution timeout passed"


def failed(
    attempt: RunningAttempt,
    error: BaseException,
    policy: Policy,
    random: Callable[[], float],
    *,
    draining: bool,
) -> Outcome:
    """Return the outcome of an attempt that ended with `error`; `random`: see `decide`."""
    claim, job = attempt.claim, attempt.claimed.job
    leaves = list(_leaves(error))
    interrupted = all(isinstance(each, asyncio.CancelledError | TimeoutError) for each in leaves)
    if interrupted and attempt.stop is not None:
        return stopped(claim, attempt.stop, (job.attempt, job.max_attempts), policy, random)
    if isinstance(error, NotDelivered):
        return release(claim, started=False)
    if draining and isinstance(error, ConnectionLost):
        return release(claim)
    after_ms = None
    permanent = [each for each in leaves if isinstance(each, PermanentError)]
    later = [each for each in leaves if isinstance(each, RetryAfter)]
    if permanent:
        reason = JobError(_code_of(permanent[0]), _text_of(permanent[0]))
    elif later:
        after_ms = round(max(each.seconds for each in later) * 1000)
        reason = JobError(ErrorCode.HANDLER_ERROR, _text_of(later[0]), True)
    elif isinstance(error, AttemptFailed):
        reason, after_ms = error.error, error.retry_after_ms
    else:
        reason = JobError(ErrorCode.HANDLER_ERROR, _text_of(*leaves), True)
    if not isinstance(error, AttemptFailed) and len(permanent) + len(later) < len(leaves):
        _log(job, error)
    decision = decide(policy.retry, job.attempt, job.max_attempts, reason, random, after_ms)
    if decision.delay_ms is None:
        return fail(claim, reason)
    return retry_later(claim, reason, decision.delay_ms)


def stopped(
    claim: Claim, why: Stop, run: tuple[int, int], policy: Policy, random: Callable[[], float]
) -> Outcome:
    """Return the outcome of an attempt that had to end early.

    `run` is its number and the maximum number of attempts; `random`: see `decide`.
    """
    if why is Stop.CANCEL:
        return canceled(claim)
    if why is Stop.TIMEOUT:
        reason = JobError(ErrorCode.EXECUTION_TIMEOUT, TIMEOUT_MESSAGE, True)
        decision = decide(policy.retry, *run, reason, random)
        return timed_out(claim, reason, decision.delay_ms)
    return release(claim)


def handler_missing(claimed: ClaimedJob, *, final: bool) -> Outcome:
    """Return the outcome of a job that has no handler here: failed if `final`, else left to other
    workers, which may be of a version that has it.
    """
    name = claimed.job.name
    error = JobError(ErrorCode.HANDLER_MISSING, f'no handler for jobs named "{name}"', True)
    log.warning(error.message, extra={"job_id": ids.text(claimed.job.id)})
    if final:
        return fail(claimed.claim, error)
    return release(claimed.claim, started=False, delay_ms=MISSING_DELAY_MS, error=error)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield what was raised inside exception groups, such as those of asyncio.TaskGroup."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _text_of(*errors: BaseException) -> str:
    """Return what a client may see of errors: UTF-8, at most 1,000 characters.

    That is `str(error)`, or the error's type if it has no text; of several errors both, as of one
    whose text is a mere value.
    """
    texts = [_one_text_of(each) for each in errors[:MAX_ERRORS_SHOWN]]
    if len(errors) > 1:
        texts = [_named(each, text) for each, text in zip(errors, texts, strict=False)]
    if len(errors) > MAX_ERRORS_SHOWN:
        texts.append(f"and {len(errors) - MAX_ERRORS_SHOWN} more")
    return "; ".join(texts)[:MAX_ERROR_CHARS].encode(errors="replace").decode()


def _one_text_of(error: BaseException) -> str:
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:
        return name
    if not text.strip():
        return name
    return _named(error, text) if _is_value(error, text) else text


def _named(error: BaseException, text: str) -> str:
    name = type(error).__name__
    return text if f"{text}: ".startswith(f"{name}: ") else f"{name}: {text}"


def _is_value(error: BaseException, text: str) -> bool:
    """Return whether the text of an error is its only argument and not words, as of KeyError("k"),
    SystemExit(3) and ValueError(None).
    """
    if isinstance(error, PermanentError | RetryAfter) or len(error.args) != 1:
        return False
    (value,) = error.args
    return text == repr(value) if isinstance(value, str) else text in (repr(value), str(value))


def _code_of(error: PermanentError) -> str:
    """Return the error's code, at most 255 bytes of it; `permanent` if it is not a string, such
    as a status number: the job has to end all the same.
    """
    code: object = error.code
    if not (isinstance(code, str) and code):
        return ErrorCode.PERMANENT
    return code.encode(errors="replace")[:MAX_CODE_BYTES].decode(errors="ignore")


def _log(job: Job, error: BaseException) -> None:
    log.warning(
        "handler failed",
        exc_info=(type(error), error, _trace_of_user_code(error)),
        extra={
            "job_id": ids.text(job.id),
            "job_name": job.name,
            "attempt": job.attempt,
            "traceparent": job.traceparent,
        },
    )


def _trace_of_user_code(error: BaseException) -> TracebackType | None:
    """Return the error's traceback without the frames of this package that it begins with."""
    trace = error.__traceback__
    while trace is not None and Path(trace.tb_frame.f_code.co_filename).is_relative_to(_PACKAGE):
        trace = trace.tb_next
    return trace or error.__traceback__
