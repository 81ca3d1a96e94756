"""Webhooks over the operations API: what waits and what was given up, and its replay."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from asyncendpoints_console.access import Role
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.policy import CLIENTS
from asyncendpoints_core.store.deliveries import (
    DeliveryEnd,
    DeliveryState,
    webhook_id,
)
from asyncendpoints_core.store.memory import MemoryStore
from support.http.console import Site, console, endpoint
from support.http.console_webhooks import WEBHOOKS, send

E = "/endpoints/demo/reports"
API = f"/api/v1{E}"


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    store = MemoryStore()
    await store.configure(endpoint("reports", **WEBHOOKS).spec.policy())
    async with console({"reports": store}, **WEBHOOKS) as running:
        yield running


@pytest.fixture
def store(site: Site) -> Any:
    return site.stores["reports"]


async def test_webhooks_show_how_they_are(site: Site, store: Any) -> None:
    await send(
        *(site, store),
        billing=DeliveryEnd.FAILED,
        crm=DeliveryEnd.GONE,
        client=DeliveryEnd.DEAD,
        old=DeliveryEnd.RETURNED,
    )
    found = await site.read(f"{E}/webhooks")
    assert (found["pending"], found["dead"]) == (2, 2)
    assert found["oldestAt"] is not None
    shown = {item["name"]: item for item in found["items"]}
    assert list(shown) == ["billing", "crm", CLIENTS, "old"]
    billing = shown["billing"]
    assert (billing["state"], billing["host"], billing["pending"]) == (
        *("Failing", "billing.example.com", 1),
    )
    assert (billing["failures"], billing["lastStatus"]) == (1, 503)
    assert (billing["events"], billing["tags"]) == (["job.failed"], ["eu"])
    assert (shown["crm"]["state"], shown["crm"]["host"]) == ("Gone", None)
    assert shown[CLIENTS]["state"] == "Delivering"
    assert (shown["old"]["state"], shown["old"]["pending"]) == ("Removed", 1)


async def test_deliveries_are_listed(site: Site, store: Any) -> None:
    made = await send(
        *(site, store), billing=DeliveryEnd.FAILED, crm=DeliveryEnd.DEAD, client=DeliveryEnd.DEAD
    )
    [pending] = (await site.read(f"{E}/deliveries"))["items"]
    assert (pending["id"], pending["webhook"], pending["state"]) == (
        *(made["billing"], "billing", "pending"),
    )
    assert (pending["host"], pending["event"]) == ("billing.example.com", "job.canceled")
    assert (pending["tries"], pending["lastStatus"], pending["deadAt"]) == (1, 503, None)
    assert pending["nextTryAt"] > pending["createdAt"]
    [job] = (await store.list(None, 9, None)).jobs
    assert pending["job"] == {"id": ids.text(job.id), "name": "build-report"}
    dead = await site.read(f"{E}/deliveries?state=dead")
    assert {item["id"]: item["host"] for item in dead["items"]} == {
        made["crm"]: None,
        made["client"]: "user1.example.com",
    }
    one = await site.read(f"{E}/deliveries?state=dead&limit=1")
    two = await site.read(f"{E}/deliveries?state=dead&limit=1&cursor={one['nextCursor']}")
    assert [*one["items"], *two["items"]] == dead["items"]
    [crm] = (await site.read(f"{E}/deliveries?state=dead&webhook=crm"))["items"]
    assert crm["id"] == made["crm"]
    for wrong in ("state=lost", "cursor=AAAA", "limit=0", "job=x"):
        answer = await site.ask("GET", f"{API}/deliveries?{wrong}")
        assert answer.json["type"] == "urn:asyncendpoints:problem:invalid-query", wrong


async def test_a_dead_delivery_is_replayed(site: Site, store: Any) -> None:
    made = await send(
        *(site, store),
        billing=DeliveryEnd.FAILED,
        crm=DeliveryEnd.DEAD,
        old=DeliveryEnd.DEAD,
    )
    path = f"{API}/deliveries/{made['crm']}/replay"
    assert (await site.ask("POST", path, role=Role.VIEW)).status == 403
    answer = await site.ask("POST", path)
    assert (answer.status, answer.json) == (202, {"id": made["crm"], "state": "pending"})
    pending = (await site.read(f"{E}/deliveries"))["items"]
    assert made["crm"] in [item["id"] for item in pending]
    for name, problem in (("crm", "not-dead"), ("billing", "not-dead"), ("old", "receiver-gone")):
        refused = await site.ask("POST", f"{API}/deliveries/{made[name]}/replay")
        assert (refused.status, refused.json["type"].rpartition(":")[2]) == (409, problem)
    for unknown in (webhook_id(b"?" * 16), made["crm"].upper(), "x", "msg_" + "g" * 32):
        assert (await site.ask("POST", f"{API}/deliveries/{unknown}/replay")).status == 404
    [record] = (await site.read(f"{E}/audit"))["items"]
    assert (record["action"], record["delivery"]) == ("replay", made["crm"])


async def test_a_webhook_that_is_gone_replays_nothing_until_it_changes(
    site: Site, store: Any
) -> None:
    made = await send(site, store, crm=DeliveryEnd.GONE)
    path = f"{API}/deliveries/{made['crm']}/replay"
    refused = await site.ask("POST", path)
    assert (refused.status, "answered 410" in refused.json["detail"]) == (409, True)
    changed = [WEBHOOKS["webhooks"][0], WEBHOOKS["webhooks"][1] | {"timeoutSeconds": 5}]
    async with console({"reports": store}, **(WEBHOOKS | {"webhooks": changed})) as later:
        assert (await later.ask("POST", path)).status == 202


async def test_all_dead_deliveries_are_replayed(site: Site, store: Any) -> None:
    for _ in range(3):
        await send(
            *(site, store), crm=DeliveryEnd.DEAD, old=DeliveryEnd.DEAD, client=DeliveryEnd.DEAD
        )
    path = f"{API}/deliveries/replay-all"
    for body in ('{"webhook": 1}', '{"name": "crm"}', "["):
        assert (await site.ask("POST", path, body)).status == 400
    some = await site.ask("POST", path, '{"webhook": "crm"}')
    assert (some.status, some.json) == (200, {"replayed": 3, "skipped": 0})
    rest = await site.ask("POST", path)
    assert rest.json == {"replayed": 3, "skipped": 3}
    status = await store.webhook_status()
    assert (status.pending, status.dead) == (6, 3)
    records = (await site.read(f"{E}/audit"))["items"]
    assert [(record["count"], record.get("webhook")) for record in records] == [
        *((3, None), (3, "crm")),
    ]


async def test_no_url_is_shown_or_logged(
    site: Site, store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await send(site, store, client=DeliveryEnd.DEAD, billing=DeliveryEnd.FAILED)
    paths = ["/webhooks", "/deliveries", "/deliveries?state=dead", ""]
    answers = [await site.ask("GET", API + path) for path in paths]
    answers += [await site.ask("GET", f"/e/demo/reports/webhooks?state={s}") for s in DeliveryState]
    answers.append(await site.ask("POST", f"{API}/deliveries/replay-all"))
    assert [answer.status for answer in answers] == [200] * 7
    for text in (*(answer.body for answer in answers), caplog.text):
        assert "t0ken" not in str(text)
