"""What a person who is responsible for an endpoint should look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_console.reading import figures, webhooks
from asyncendpoints_core.jobs.policy import CLIENTS
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.deliveries import DeliveryState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncendpoints_console.target import Target
    from asyncendpoints_core.store.figures import Figures
    from asyncendpoints_core.store.replies import Stats, WorkerState

PATIENCE_MS: Final = 30_000
"""How long jobs may wait without a worker before that is a warning: workers are started first."""
RECOVERY_MS: Final = 5_000
"""Where anything recovers lost workers, they are removed much sooner after their lease ended."""
FULL_SHARE: Final = 0.95
"""Of the bytes of a queue: it refuses jobs before all are taken, those with large bodies first."""
RECENT_MS: Final = 3_600_000
"""A delivery that was given up earlier says nothing of now."""
MAX_DEAD: Final = 100
_DOES: Final = {"Failing": "fails", "Gone": "is gone", "SecretInvalid": "has no valid secrets"}


async def warnings(
    target: Target, stats: Stats, workers: Sequence[WorkerState], found: Figures
) -> list[dict[str, Any]]:
    """Return warnings of an endpoint, each with a `reason` (a name) and a `message`."""
    shown = [*_full(target, stats), *_lost(stats, workers)]
    if all(worker.lease_ms <= stats.now_ms for worker in workers) and _wait(stats, found):
        shown.append(("NoWorkers", _no_workers(target, found)))
    if not target.figures_only:
        shown += await _webhooks(target, stats.now_ms)
    return [{"reason": reason, "message": message} for reason, message in shown]


def _full(target: Target, stats: Stats) -> list[tuple[str, str]]:
    queue = target.endpoint.spec.policy()
    depth = stats.counts[State.QUEUED] + stats.counts[State.SCHEDULED]
    if depth >= queue.max_depth:
        return [("QueueFull", f"the queue is full ({queue.max_depth:,} jobs): new ones get a 429")]
    one_more = stats.bytes + stats.bytes / max(1, depth)  # of the mean size
    if stats.bytes >= FULL_SHARE * queue.max_bytes or one_more > queue.max_bytes:
        used = f"{stats.bytes:,} of the {queue.max_bytes:,} bytes of queue.maxBytes are used"
        return [("QueueFull", f"the queue is full ({used}): new jobs get a 429")]
    return []


def _lost(stats: Stats, workers: Sequence[WorkerState]) -> list[tuple[str, str]]:
    lost = [worker for worker in workers if worker.lease_ms <= stats.now_ms - RECOVERY_MS]
    if not lost:
        return []
    those, their = ("worker does", "its") if len(lost) == 1 else ("workers do", "their")
    message = f"{len(lost)} {those} not report"
    # Of an idle queue, the operator leaves workers that hold nothing.
    if any(worker.held for worker in lost):
        message += f", and nothing recovers {their} jobs: is the operator down?"
    return [("WorkersLost", message)]


def _wait(stats: Stats, found: Figures) -> bool:
    """Return whether jobs that may start have waited for long, as far as that is known.

    The oldest of all jobs may be paused by name or held back by a limit. Where some are, the
    figures know whether there was something to start all the time, if somebody writes them.
    """
    if stats.suspended or stats.paused or not stats.startable:
        return False
    since_ms = stats.now_ms - PATIENCE_MS
    if stats.startable == stats.counts[State.QUEUED]:
        return 0 < stats.oldest_ms < since_ms
    before = [point for point in found.points if point.at_ms >= since_ms - PATIENCE_MS]
    idle = all(point.demand and not point.workers and not point.starts for point in before)
    return bool(before) and idle and before[0].at_ms < since_ms


def _no_workers(target: Target, found: Figures) -> str:
    if target.endpoint.spec.replicas == 0:
        return "jobs wait, and no worker is wanted: replicas is 0"
    scaling = figures.scaling(found.scaling, found.now_ms)
    if scaling and (wanted := scaling["target"]):
        noun = "worker is" if wanted == 1 else "workers are"
        return f"jobs wait, and no worker is there yet: {wanted} {noun} being started"
    return "jobs wait, and no worker is there"


async def _webhooks(target: Target, now_ms: int) -> list[tuple[str, str]]:
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
        found += await _recently_dead(target, now_ms)
    return found


async def _recently_dead(target: Target, now_ms: int) -> list[tuple[str, str]]:
    """Look at the newest deliveries that were given up, without those to receivers that clients
    name: what these answer is their clients' affair.
    """
    page = await target.store.list_deliveries(DeliveryState.DEAD, MAX_DEAD, None)
    recent = [each for each in page.deliveries if each.dead_ms > now_ms - RECENT_MS]
    dead = sum(each.webhook != CLIENTS for each in recent)
    if not dead:
        return []
    least = "at least " if len(recent) == MAX_DEAD else ""
    noun = "delivery" if dead == 1 else "deliveries"
    return [("DeliveriesDead", f"gave up {least}{dead} {noun} of webhooks in the last hour")]


def _pending(webhook: dict[str, Any]) -> str:
    count = webhook["pending"]
    return f", {count:,} {'delivery waits' if count == 1 else 'deliveries wait'}" if count else ""
