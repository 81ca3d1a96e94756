"""Webhooks and deliveries in every state, for the tests of the console."""

from typing import Any

from asyncendpoints_console.reading import webhooks as reading
from asyncendpoints_core.jobs.policy import CLIENTS
from asyncendpoints_core.store.deliveries import (
    DeliveryEnd,
    DeliveryOutcome,
    FanOut,
    NewDelivery,
    webhook_id,
)
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_gateway.webhooks.signing import delivery_id
from support.http.console import Site, endpoint
from support.store.stores import new, put

SECRETS = {"secretRef": {"name": "hooks", "key": "secrets"}}
WEBHOOKS: dict[str, Any] = {
    "webhooks": [
        {
            **{"name": "billing", "url": "https://billing.example.com/hooks/t0ken"},
            **{"secrets": SECRETS, "events": ["job.failed"], "tags": ["eu"]},
        },
        {
            "name": "crm",
            "urlFrom": {"secretRef": {"name": "hooks", "key": "url"}},
            "secrets": SECRETS,
        },
    ],
    "webhookRequests": {"allow": ["https://*.example.com"], "secrets": SECRETS},
}
CLIENT_URL = "https://user1.example.com/p4th?token=t0ken"


def receivers(site: Site) -> dict[str, bytes]:
    """Return the ids of receivers as a gateway makes them."""
    [target] = site.server._site.targets()
    return {
        name: receiver.rjust(8, b"h") for name, receiver in reading.receivers(target).items()
    } | {"old": b"old-hook"}


async def send(site: Site, store: Store, **ends: DeliveryEnd) -> dict[str, str]:
    """End a job and a first try of each webhook, as it says; return the webhook-ids."""
    [job_id] = await put(store, new("build-report"))
    await store.cancel([job_id])
    [job] = await store.webhook_events(9)
    ids_ = receivers(site)
    names = {CLIENTS if name == "client" else name: end for name, end in ends.items()}
    made = {
        name: NewDelivery(
            delivery_id("demo/reports", job.id, job.revision, name),
            ids_[name],
            name,
            CLIENT_URL if name == CLIENTS else "",
        )
        for name in names
    }
    digest = endpoint("reports", **WEBHOOKS).spec.webhooks_digest
    await store.fan_out(digest, [FanOut(job, tuple(made.values()))])
    leased = await store.lease_deliveries(
        16, 30_000, probes=4, per_host=9, busy=[], expiry_ms=10**9
    )
    for each in leased.deliveries:
        end = names[each.webhook]
        if end is not DeliveryEnd.RETURNED:
            outcome = DeliveryOutcome(each.id, each.token, end, 60_000, 503)
            assert await store.settle_deliveries([outcome], 60_000) == [True]
    return {"client" if name == CLIENTS else name: webhook_id(one.id) for name, one in made.items()}
