"""The requests about webhooks: list them and their deliveries, and replay dead ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncendpoints_console.api import queries
from asyncendpoints_console.api.call import json_response
from asyncendpoints_console.reading import webhooks
from asyncendpoints_console.refusals import Refusal
from asyncendpoints_core.store.deliveries import (
    MAX_DEAD,
    DeliveryState,
    ReplayStatus,
    delivery_of,
    webhook_id,
)

if TYPE_CHECKING:
    from aiohttp import web

    from asyncendpoints_console.api.call import Call

BATCH: Final = 50


async def listing(call: Call) -> web.Response:
    """GET webhooks."""
    return json_response(await webhooks.webhooks(call.target))


async def deliveries(call: Call) -> web.Response:
    """GET deliveries."""
    query = call.query
    queries.check_known(query, queries.OF_DELIVERIES)
    page = await webhooks.deliveries(
        call.target,
        queries.delivery_state(query),
        queries.limit(query),
        queries.cursor(query),
        query.get("webhook", ""),
    )
    return json_response(page)


async def replay(call: Call) -> web.Response:
    """POST deliveries/{delivery}/replay: 202, and the gateways send it again."""
    call.may_change()
    delivery = delivery_of(call.request.match_info["delivery"])
    if delivery is None:
        raise _missing()
    receivers = webhooks.receivers(call.target)
    [status] = await call.target.store.replay_deliveries([delivery], receivers)
    match status:
        case ReplayStatus.MISSING:
            raise _missing()
        case ReplayStatus.PENDING:
            raise Refusal("not-dead", "the delivery is pending and is tried anyway")
        case ReplayStatus.UNKNOWN:
            raise Refusal("receiver-gone", "its webhook is no longer in the resource")
        case ReplayStatus.GONE:
            detail = "the webhook answered 410 and gets no more until its definition changes"
            raise Refusal("receiver-gone", detail)
    text = webhook_id(delivery)
    call.record("replay", delivery=text)
    return json_response({"id": text, "state": DeliveryState.PENDING.value}, 202)


async def replay_all(call: Call) -> web.Response:
    """POST deliveries/replay-all: replay the dead ones, of one webhook or of all."""
    call.may_change()
    webhook = await _webhook(call)
    store, receivers = call.target.store, webhooks.receivers(call.target)
    done, looked, cursor = 0, 0, None
    while looked < MAX_DEAD:  # what dies meanwhile is before the cursor
        page = await store.list_deliveries(DeliveryState.DEAD, BATCH, cursor, webhook)
        found = [each.id for each in page.deliveries]
        statuses = await store.replay_deliveries(found, receivers)
        done += statuses.count(ReplayStatus.REPLAYED)
        looked, cursor = looked + len(found), page.cursor
        if cursor is None:
            break
    named = {"webhook": webhook} if webhook else {}
    call.record("replay", count=done, **named)
    return json_response({"replayed": done, "skipped": looked - done})


async def _webhook(call: Call) -> str:
    """Return the name in the body, "" for all webhooks. Raises the 400."""
    body = await call.json()
    if unknown := sorted(set(body) - {"webhook"}):
        text = f"unknown member {unknown[0][:40]!r}: the only one is webhook, the name of a webhook"
        raise Refusal("malformed-body", text)
    webhook = body.get("webhook", "")
    if not isinstance(webhook, str):
        raise Refusal("malformed-body", "webhook must be a string")
    return webhook


def _missing() -> Refusal:
    return Refusal("not-found", "there is no such delivery; delivered ones are not kept")
