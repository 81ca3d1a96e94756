"""Webhooks and deliveries as the operations API shows them: by name and host, without URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.job_view import timestamp
from asyncendpoints_core.jobs.policy import CLIENTS
from asyncendpoints_core.resource.receiver_urls import parse_url
from asyncendpoints_core.resource.webhooks import (
    EVENT_OF,
    EVENTS,
    host_part,
    receiver_part,
)
from asyncendpoints_core.store.deliveries import (
    HOST_BYTES,
    SECRET_INVALID,
    DeliveryState,
    ReceiverHealth,
    ReceiverState,
    webhook_id,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asyncendpoints_console.target import Target
    from asyncendpoints_core.resource.webhooks import Webhook
    from asyncendpoints_core.store.deliveries import ListedDelivery

REMOVED: Final = "Removed"
"""The state of a webhook that the resource does not have any more, while deliveries wait for it."""
MAX_EMPTY_PAGES: Final = 3
"""So many pages of the store without a delivery of the webhook are skipped in a request."""
_HEALTHY: Final = ReceiverState(b"")


async def webhooks(target: Target) -> dict[str, Any]:
    """Return the webhooks of the resource, and what waits for each."""
    status, spec = await target.store.webhook_status(), target.endpoint.spec
    items = [_webhook(each, status.receivers) for each in spec.webhooks]
    if spec.webhook_requests is not None:
        items.append(_clients(status.receivers))
    known = {item["name"] for item in items}
    removed = {each.webhook for each in status.receivers if each.pending} - known
    items += [
        _item(name, REMOVED, _pending(name, status.receivers)) for name in sorted(removed) if name
    ]
    return {
        "items": items,
        "pending": status.pending,
        "dead": status.dead,
        "oldestAt": timestamp(status.oldest_ms),
    }


def _webhook(webhook: Webhook, receivers: Sequence[ReceiverState]) -> dict[str, Any]:
    part, order = receiver_part(webhook), list(ReceiverHealth)
    own = [each for each in receivers if each.receiver[HOST_BYTES:] == part]
    worst = min(own, key=lambda each: order.index(each.health), default=_HEALTHY)
    answered = worst.status if worst.status != SECRET_INVALID else 0
    return _item(webhook.name, worst.health.value, _pending(webhook.name, receivers)) | {
        "host": _host(webhook),
        "events": list(webhook.events),
        "jobs": list(webhook.jobs),
        "tags": list(webhook.tags),
        "includeResult": webhook.include_result,
        "failures": worst.failures,
        "lastStatus": answered or None,
        "failingSince": timestamp(worst.since_ms),
        "nextProbeAt": timestamp(worst.probe_ms),
    }


def _clients(receivers: Sequence[ReceiverState]) -> dict[str, Any]:
    """Return the receivers that clients name, as one: what they answer is their clients' affair."""
    own = [each.health for each in receivers if each.webhook == CLIENTS]
    invalid = ReceiverHealth.SECRET_INVALID
    health = invalid if invalid in own else ReceiverHealth.DELIVERING
    return _item(CLIENTS, health.value, _pending(CLIENTS, receivers))


def _item(name: str, state: str, pending: int) -> dict[str, Any]:
    return {
        "name": name,
        "host": None,
        "events": list(EVENTS),
        "jobs": [],
        "tags": [],
        "includeResult": False,
        "state": state,
        "pending": pending,
        "failures": 0,
        "lastStatus": None,
        "failingSince": None,
        "nextProbeAt": None,
    }


def _pending(name: str, receivers: Sequence[ReceiverState]) -> int:
    return sum(each.pending for each in receivers if each.webhook == name)


def _host(webhook: Webhook) -> str | None:
    """Return the host of a webhook; None if its URL is kept in a Secret."""
    return None if webhook.url is None else parse_url(webhook.url).host


async def deliveries(
    target: Target, state: DeliveryState, limit: int, cursor: str | None, webhook: str
) -> dict[str, Any]:
    """Return a page of deliveries, of one webhook or of all."""
    store = target.store
    page = await store.list_deliveries(state, limit, cursor, webhook)
    for _ in range(MAX_EMPTY_PAGES):
        if page.deliveries or page.cursor is None:
            break
        page = await store.list_deliveries(state, limit, page.cursor, webhook)
    hosts = {each.name: _host(each) for each in target.endpoint.spec.webhooks}
    return {
        "items": [_delivery(each, state, hosts) for each in page.deliveries],
        "nextCursor": page.cursor,
    }


def _delivery(
    delivery: ListedDelivery, state: DeliveryState, hosts: Mapping[str, str | None]
) -> dict[str, Any]:
    job, url = delivery.job, delivery.url
    pending = state is DeliveryState.PENDING
    return {
        "id": webhook_id(delivery.id),
        "webhook": delivery.webhook,
        "host": parse_url(url).host if url else hosts.get(delivery.webhook),
        "event": EVENT_OF[job.state],
        "job": {"id": ids.text(job.id), "name": job.name},
        "state": state.value,
        "tries": delivery.tries,
        "lastStatus": delivery.status or None,
        "createdAt": timestamp(delivery.created_ms),
        "nextTryAt": timestamp(delivery.due_ms) if pending else None,
        "deadAt": timestamp(delivery.dead_ms),
    }


def receivers(target: Target) -> dict[str, bytes]:
    """Return the receivers to which dead deliveries are sent again, as the store takes them."""
    found = {each.name: _receiver(each) for each in target.endpoint.spec.webhooks}
    if target.endpoint.spec.webhook_requests is not None:
        found[CLIENTS] = b""
    return found


def _receiver(webhook: Webhook) -> bytes:
    """Return a receiver's id, without its host's part if only the gateways know the URL."""
    host = b"" if webhook.url is None else host_part(parse_url(webhook.url))
    return host + receiver_part(webhook)
