"""Trace context, and the names of metrics."""

from __future__ import annotations

import re
from typing import Final

_TRACEPARENT: Final = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)


def parse_traceparent(value: str) -> str | None:
    """Return a valid trace context, None for an invalid one (W3C Trace Context §3.2.2).

    Version 00 has exactly four parts; additional parts of later versions are dropped.
    """
    match = _TRACEPARENT.fullmatch(value.strip())
    if match is None or (match[1] == "00" and match[5] is not None):
        return None
    return f"00-{match[2]}-{match[3]}-{match[4]}" if match[5] else match[0]


class Metric:
    """The names of metrics, which docs/metrics.md describes."""

    JOBS: Final = "asyncendpoints_jobs"
    QUEUE_AGE: Final = "asyncendpoints_queue_age_seconds"
    QUEUE_BYTES: Final = "asyncendpoints_queue_bytes"
    WORKERS: Final = "asyncendpoints_workers"
    TOTALS: Final = "asyncendpoints_job_events"
    RUN_SECONDS: Final = "asyncendpoints_job_run_seconds"
    WAIT_SECONDS: Final = "asyncendpoints_job_wait_seconds"
    SUBMISSIONS: Final = "asyncendpoints_submissions"
    REQUESTS: Final = "asyncendpoints_http_request_duration_seconds"
    WAITERS: Final = "asyncendpoints_http_waiters"
    BATCH: Final = "asyncendpoints_store_batch_size"
    STORE_ERRORS: Final = "asyncendpoints_store_errors"
    STORE_UP: Final = "asyncendpoints_store_up"
    SCHEDULE_TIMES: Final = "asyncendpoints_schedule_times"
    SCHEDULE_FIRED: Final = "asyncendpoints_schedule_last_time_seconds"
    FAST_PATH: Final = "asyncendpoints_gateway_fast_path"
    WEBHOOK_TRIES: Final = "asyncendpoints_webhook_tries"
    WEBHOOKS_PENDING: Final = "asyncendpoints_webhooks_pending"
    WEBHOOKS_DEAD: Final = "asyncendpoints_webhooks_dead"
    WEBHOOKS_AGE: Final = "asyncendpoints_webhooks_oldest_seconds"
