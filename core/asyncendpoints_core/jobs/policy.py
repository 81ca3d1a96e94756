"""The limits, times and budgets of an endpoint that the store applies by itself.

The operator (or `run`) writes a Policy into the store and every script reads it there, so a change
takes effect at once, without a restart of gateways and workers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from asyncendpoints_core.jobs.retry import RetryPolicy

WEBHOOK_PENDING: Final = 100_000
CLIENT_RECEIVERS: Final = 8
"""The bit of `webhook_states` that says that jobs may name receivers of their own."""
CLIENTS: Final = "Job-Webhook"
"""Stands for the receivers that clients name, where others have a webhook's name."""


class Limit(msgspec.Struct, frozen=True):
    """How many jobs may run at a time (`concurrency`) and start in a second (`rate`), 0 for any
    number; `burst` at once. `weight`: a key's share of the starts beside others; `depth`: how many
    of its jobs may wait.
    """

    concurrency: int = 0
    rate: float = 0.0
    burst: float = 1.0
    weight: float = 1.0
    depth: int = 0


def limits_of(
    *,
    total: Limit | None = None,
    jobs: Mapping[str, Limit] = {},
    every_key: Limit | None = None,
    keys: Mapping[str, Limit] = {},
) -> Mapping[str, Limit]:
    """Return limits by resource, as Policy has them."""
    named = {f"j{name}": limit for name, limit in jobs.items()}
    named |= {f"k{key}": limit for key, limit in keys.items()}
    if total:
        named["t"] = total
    if every_key:
        named["k"] = every_key
    return named


class Policy(msgspec.Struct, frozen=True):
    """Limits of one endpoint. Times in ms, sizes in bytes; the defaults are the resource's."""

    max_depth: int = 10_000
    max_bytes: int = 1_073_741_824
    ttl_ms: int = 86_400_000
    idempotency_ms: int = 86_400_000
    completed_ms: int = 3_600_000
    failed_ms: int = 604_800_000
    max_finished: int = 1_000_000
    execution_ms: int = 600_000
    lease_ms: int = 15_000
    # How long its worker has to end a job past its deadline (docs/rules.md S13).
    grace_ms: int = 5_000
    # What is sent to webhooks: a hash of them (0: none), a bit for each final state in the order of
    # State, the jobs it is sent of (empty: all), and how many deliveries may wait.
    webhooks: int = 0
    webhook_states: int = 0
    webhook_jobs: tuple[str, ...] = ()
    webhook_pending: int = WEBHOOK_PENDING
    retry: RetryPolicy = RetryPolicy()
    # The hash of each schedule's definition, by name: jobs are created by no other definition.
    schedules: Mapping[str, str] = {}
    # The limits by resource, made by `limits_of`; None: there are neither keys nor limits, so jobs
    # start by their age alone.
    limits: Mapping[str, Limit] | None = None
