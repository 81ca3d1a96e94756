"""What a person who is responsible for an endpoint should look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_console.reading import webhooks
from asyncendpoints_core.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints_console.target import Target
    from asyncendpoints_core.store.replies import Stats, WorkerState

PATIENCE_MS: Final = 30_000
"""How long jobs may wait without a worker before that is a warning: workers are started first."""
_DOES: Final = {"Failing": "fails", "Gone": "is gone", "SecretInvalid": "has no valid secrets"}


async def warnings(
    target: Target, stats: Stats, workers: Sequence[WorkerState]
) -> list[dict[str, Any]]:
    """Return warnings of an endpoint, each with a `reason` (a name) and a `message`."""
    found = [*_full(target, stats), *_workers(stats, workers)]
    if not target.figures_only:
        found += await _webhooks(target)
    return [{"reason": reason, "message": message} for reason, message in found]


def _full(target: Target, stats: Stats) -> list[tuple[str, str]]:
    queue = target.endpoint.spec.policy()
    depth = stats.counts[State.QUEUED] + stats.counts[State.SCHEDULED]
    if depth >= queue.max_depth:
        return [("QueueFull", f"the queue is full ({queue.max_depth:,} jobs): new ones get a 429")]
    if stats.bytes >= queue.max_bytes:
        return [("QueueFull", f"the queue is full ({stats.bytes:,} bytes): new jobs get a 429")]
    return []


def _workers(stats: Stats, workers: Sequence[WorkerState]) -> list[tuple[str, str]]:
    found = []
    lost = sum(worker.lease_ms <= stats.now_ms for worker in workers)
    if lost:
        noun = "worker does" if lost == 1 else "workers do"
        found.append(("WorkersLost", f"{lost} {noun} not report"))
    waits = stats.startable and 0 < stats.oldest_ms < stats.now_ms - PATIENCE_MS
    stopped = stats.suspended or stats.paused
    if lost == len(workers) and waits and not stopped:
        found.append(("NoWorkers", "jobs wait, and no worker is there"))
    return found


async def _webhooks(target: Target) -> list[tuple[str, str]]:
    spec = target.endpoint.spec
    if not spec.webhooks and spec.webhook_requests is None:
        return []
    known = await webhooks.webhooks(target)
    found = [
        ("WebhooksFailing", f"the webhook {each['name']} {_DOES[each['state']]}{_pending(each)}")
        for each in known["items"]
        if each["state"] in _DOES
    ]
    if known["dead"]:
        noun = "delivery" if known["dead"] == 1 else "deliveries"
        found.append(("DeliveriesDead", f"gave up {known['dead']:,} {noun} of webhooks"))
    return found


def _pending(webhook: dict[str, Any]) -> str:
    count = webhook["pending"]
    return f", {count:,} {'delivery waits' if count == 1 else 'deliveries wait'}" if count else ""
