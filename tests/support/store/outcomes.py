"""Every way to settle a claim, by name."""

from collections.abc import Callable

from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.records import Claim, Outcome
from support.store.stores import DONE, ERROR

KINDS: dict[str, Callable[[Claim], Outcome]] = {
    "complete": lambda claim: jobs.complete(claim, DONE),
    "retry": lambda claim: jobs.retry_later(claim, ERROR, 1_000),
    "fail": lambda claim: jobs.fail(claim, ERROR),
    "release": jobs.release,
    "release-unstarted": lambda claim: jobs.release(claim, started=False),
    "release-delayed": lambda claim: jobs.release(claim, delay_ms=500),
    "canceled": jobs.canceled,
    "time-out": lambda claim: jobs.timed_out(claim, ERROR, 1_000),
    "time-out-final": lambda claim: jobs.timed_out(claim, ERROR, None),
}
