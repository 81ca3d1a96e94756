"""Webhooks from the end of a job to its receiver, on both stores."""

import asyncio
import json
import logging
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from asyncendpoints_console.reading.webhooks import receivers
from asyncendpoints_console.target import Target
from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.records import Attributes, Result
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_gateway.server.app import Gateway
from asyncendpoints_gateway.webhooks import delivery as delivery_loop
from asyncendpoints_gateway.webhooks import schedule
from asyncendpoints_gateway.webhooks.addresses import AddressRules
from asyncendpoints_gateway.webhooks.start import WebhookOptions
from support.http.receiver import SECRET, Receiver, receiver
from support.npm import node_modules
from support.redis.backend import RedisBackend
from support.store.stores import ERROR, hand, new, no_deliveries, put, state_of

JSON = Result("application/json", b'{"pages": 12}')
NPM_VERIFIER = """
import {readFileSync} from "node:fs";
import {Webhook} from "standardwebhooks";
const {secret, headers, body} = JSON.parse(readFileSync(0, "utf8"));
console.log(new Webhook(secret).verify(body, headers).data.job.id);
"""


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        made: Store = MemoryStore()
    else:
        made = RedisStore(request.getfixturevalue("redis_url"), "default/reports")
    yield made
    await made.close()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    return path


def endpoint(*webhooks: dict[str, Any], **spec: Any) -> AsyncEndpoint:
    return AsyncEndpoint.parse(
        {
            "apiVersion": "asyncendpoints.io/v1alpha1",
            "kind": "AsyncEndpoint",
            "metadata": {"name": "reports"},
            "spec": {
                "routes": [{"path": "/reports", "job": "report"}],
                "gateway": {"basePath": "/api"},
                "worker": {"handlers": "jobs"},
                "webhooks": list(webhooks),
                **spec,
            },
        }
    )


def webhook(to: Receiver, secret: Path, name: str = "billing", **more: Any) -> dict[str, Any]:
    return {"name": name, "url": to.url, "secrets": {"file": str(secret)}, **more}


@asynccontextmanager
async def gateway(
    store: Store, of: AsyncEndpoint, *receivers: Receiver, volume: Path | None = None
) -> AsyncIterator[Gateway]:
    local = frozenset(("127.0.0.1", each.port) for each in receivers)
    options = WebhookOptions(AddressRules(local=local), volume=volume)
    running = Gateway(of, store, SystemTime(), owns_policy=True, webhooks=options)
    running.start()
    try:
        await running.policy.connected.wait()
        yield running
    finally:
        await running.stop()


async def complete(store: Store, *news: jobs.NewJob, result: Result = JSON) -> list[ids.JobId]:
    made = await put(store, *news)
    worker = await hand(store, ids.text(ids.new(0)))
    taken = await worker.take()
    await store.settle([jobs.complete(job.claim, result) for job in taken])
    return made


async def test_a_receiver_gets_each_end_with_a_signature(store: Store, secret: Path) -> None:
    async with receiver() as to, gateway(store, endpoint(webhook(to, secret)), to):
        [job_id] = await complete(store, new(attributes=Attributes(tags=("blue",))))
        [canceled] = await put(store, new())
        await store.cancel([canceled])
        first, second = await to.wait(2)
        await no_deliveries(store)
    by_type = {got.event["type"]: got for got in (first, second)}
    got = by_type["job.completed"]
    data = got.event["data"]
    assert (data["endpoint"], data["result"]) == ("default/reports", None)
    assert "resultOmitted" not in data
    job = got.job
    assert (job["id"], job["state"], job["tags"]) == (ids.text(job_id), "Completed", ["blue"])
    assert job["links"]["self"] == f"/api/jobs/{ids.text(job_id)}"
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["completed"]
    assert job["revision"] > 1
    assert got.event["timestamp"] == job["completedAt"]
    assert got.headers["Content-Type"] == "application/json"
    assert got.headers["User-Agent"].startswith("asyncendpoints/")
    assert by_type["job.canceled"].job["id"] == ids.text(canceled)
    assert len({got.id for got in to.received}) == 2


async def test_the_official_verifier_of_npm_accepts_it(store: Store, secret: Path) -> None:
    async with receiver() as to, gateway(store, endpoint(webhook(to, secret)), to):
        [job_id] = await complete(store, new(attributes=Attributes(tags=("blue",))))
        [got] = await to.wait(1)
        await no_deliveries(store)

    def verify(body: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["node", "--input-type=module", "-e", NPM_VERIFIER],
            cwd=node_modules().parent,
            input=json.dumps({"secret": SECRET, "headers": got.headers, "body": body}),
            capture_output=True,
            text=True,
        )

    body = got.body.decode()
    assert verify(body).stdout.strip() == ids.text(job_id)
    assert "No matching signature found" in verify(body.replace("blue", "green")).stderr


async def test_each_receiver_gets_what_fits_it(store: Store, secret: Path) -> None:
    async with receiver() as failures, receiver() as tagged, receiver() as named:
        spec = endpoint(
            webhook(failures, secret, "failures", events=["job.failed"]),
            webhook(tagged, secret, "tagged", tags=["red", "blue"]),
            webhook(named, secret, "named", jobs=["other"]),
        )
        async with gateway(store, spec, failures, tagged, named):
            blue = Attributes(tags=("green", "blue"))
            await complete(store, new(attributes=blue), new(), new("other"))
            [failing] = await put(store, new())
            worker = await hand(store)
            await store.settle([jobs.fail((await worker.one()).claim, ERROR)])
            await failures.wait(1)
            await tagged.wait(1)
            await named.wait(1)
            await no_deliveries(store)
    assert [got.job["id"] for got in failures.received] == [ids.text(failing)]
    assert failures.received[0].job["error"]["code"] == ERROR.code
    assert [got.job["tags"] for got in tagged.received] == [["green", "blue"]]
    assert [got.job["name"] for got in named.received] == ["other"]


@pytest.mark.parametrize(
    ("result", "shown", "omitted"),
    [
        (JSON, {"contentType": "application/json", "body": '{"pages": 12}'}, False),
        (Result("text/plain", b"\xff"), {"contentType": "text/plain", "base64": "/w=="}, False),
        (Result("text/plain", b"x" * 65_537), None, True),
        (Result("image/png", b"png"), None, True),
    ],
)
async def test_results_are_sent_if_they_are_short_text(
    secret: Path, result: Result, shown: object, omitted: bool
) -> None:
    store = MemoryStore()
    async with receiver() as to:
        spec = endpoint(webhook(to, secret, includeResult=True))
        async with gateway(store, spec, to):
            await complete(store, new(), result=result)
            [got] = await to.wait(1)
    data = got.event["data"]
    assert (data["result"], data.get("resultOmitted", False)) == (shown, omitted)


async def test_an_end_is_sent_as_it_was_after_the_job_is_gone(
    store: Store, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "DELAYS", (0.01,) * 100)
    async with receiver() as to:
        spec = endpoint(webhook(to, secret, includeResult=True))
        async with gateway(store, spec):  # its port is not allowed yet: the first try fails
            [job_id] = await complete(store, new())
            async with asyncio.timeout(30):
                while (await store.stats()).totals["webhooks_failed"] == 0:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        await store.open()
        await store.delete([job_id])
        async with gateway(store, spec, to):
            [got] = await to.wait(1)
            await no_deliveries(store)
    data = got.event["data"]
    assert (data["job"]["state"], data["result"], data["resultOmitted"]) == (
        "Completed",
        None,
        True,
    )


@pytest.mark.parametrize("gone", [False, True])
async def test_the_end_of_the_largest_job_shows_all_but_the_end_of_its_message(
    store: Store, secret: Path, gone: bool
) -> None:
    carried = Attributes(
        tags=tuple(f"{number:064}" for number in range(10)),
        key="k" * 64,
        schedule="s" * 63,
        scheduled_ms=1,
        webhooks=tuple(f"https://example.com/{number:01980}" for number in range(8)),
    )
    async with receiver() as to:
        spec = endpoint(webhook(to, secret, tags=[carried.tags[-1]]))
        async with gateway(store, spec):
            pass
        [job_id] = await put(store, new("n" * 100, attributes=carried))
        error = jobs.JobError("worker-crashed", "no more memory")
        await store.settle([jobs.fail((await (await hand(store)).one()).claim, error)])
        if gone:
            await store.delete([job_id])
        async with gateway(store, spec, to):
            [got] = await to.wait(1)
    job = got.job
    assert (job["id"], job["name"], job["state"]) == (ids.text(job_id), "n" * 100, "Failed")
    assert (job["tags"], job["key"]) == (list(carried.tags), carried.key)
    assert job["schedule"] == carried.schedule
    assert job["error"]["code"] == error.code
    assert job["error"]["message"] == ("no more me" if gone else error.message)
    assert "example.com" not in got.body.decode()


async def test_an_unreadable_result_is_left_out(redis_url: str, secret: Path) -> None:
    backend = RedisBackend(redis_url)
    await backend.open()
    async with receiver() as to:
        spec = endpoint(webhook(to, secret, includeResult=True))
        async with gateway(backend.store, spec, to):
            pass
        [job_id] = await complete(backend.store, new(), result=Result("text/x", b"body"))
        await backend.damage(job_id, b"text/x", b"text/\xff")
        async with gateway(backend.store, spec, to):
            [got] = await to.wait(1)
    await backend.close()
    assert (got.event["data"]["result"], got.event["data"]["resultOmitted"]) == (None, True)


async def test_a_failed_delivery_is_tried_again_with_the_same_id(
    store: Store, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "DELAYS", (0.01, 0.01))
    answers = iter((500, 302, 204))
    async with (
        receiver(status=lambda _: next(answers)) as to,
        gateway(store, endpoint(webhook(to, secret)), to) as running,
    ):
        await complete(store, new())
        await to.wait(3)
        await no_deliveries(store)
        scraped = running.metrics.scrape().decode()
    assert len({got.id for got in to.received}) == 1
    assert len({got.headers["webhook-timestamp"] for got in to.received}) >= 1
    for line in (
        'asyncendpoints_webhook_tries_total{outcome="failed",webhook="billing"} 2.0',
        'asyncendpoints_webhook_tries_total{outcome="delivered",webhook="billing"} 1.0',
    ):
        assert line in scraped


async def test_after_the_last_try_it_is_dead_and_can_be_replayed(
    store: Store, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "DELAYS", (0.01,))
    answers = iter((500, 500, 200))
    async with receiver(status=lambda _: next(answers)) as to:
        spec = endpoint(webhook(to, secret))
        async with gateway(store, spec, to):
            await complete(store, new())
            first, second = await to.wait(2)
            await no_deliveries(store)
            status = await store.webhook_status()
            [known] = status.receivers
            assert status.dead == 1
            dead = bytes.fromhex(first.id.removeprefix("msg_"))
            to_it = receivers(Target(spec, store))
            assert to_it == {"billing": known.receiver}
            assert await store.replay_deliveries([dead], to_it) == ["replayed"]
            await to.wait(3)
            await no_deliveries(store)
    assert first.id == second.id == to.received[2].id


async def test_a_receiver_that_is_gone_gets_nothing_until_its_webhook_changes(
    store: Store, secret: Path
) -> None:
    async with receiver(status=lambda _: 410) as to:
        spec = endpoint(webhook(to, secret))
        async with gateway(store, spec, to):
            await complete(store, new())
            await to.wait(1)
            await no_deliveries(store)
            await complete(store, new(), new())
            await no_deliveries(store)
            status = await store.webhook_status()
            assert (len(to.received), status.dead) == (1, 3)
            assert [(each.webhook, each.gone) for each in status.receivers] == [("billing", True)]
        to.status = lambda _: 200
        await store.open()
        async with gateway(store, endpoint(webhook(to, secret, timeoutSeconds=5)), to):
            await complete(store, new())
            await to.wait(2)


async def test_a_slow_receiver_delays_no_other(store: Store, secret: Path) -> None:
    hold = asyncio.get_running_loop().create_future()
    async with receiver(answer=lambda: asyncio.shield(hold)) as slow, receiver() as fast:
        spec = endpoint(webhook(slow, secret, "slow"), webhook(fast, secret, "fast"))
        async with gateway(store, spec, slow, fast):
            await complete(store, *[new() for _ in range(10)])
            await fast.wait(10)
            assert len(slow.received) <= delivery_loop.PER_HOST
            hold.set_result(None)
            await slow.wait(10)
            await no_deliveries(store)


async def test_without_a_usable_secret_deliveries_wait(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(delivery_loop, "WAIT_MS", 10)
    secret = tmp_path / "secret"
    async with receiver() as to:
        with caplog.at_level(logging.WARNING):
            async with gateway(store, endpoint(webhook(to, secret)), to):
                await complete(store, new())
                async with asyncio.timeout(30):
                    while not (found := (await store.webhook_status()).receivers) or (  # noqa: ASYNC110
                        found[0].status != 1
                    ):
                        await asyncio.sleep(0.01)
                secret.write_text("whsec_c2hvcnQ=")
                assert not to.received
                secret.write_text(SECRET)
                await to.wait(1)
                await no_deliveries(store)
        assert (await store.webhook_status()).receivers == ()
    assert "the secrets cannot be read" in caplog.text
    assert to.url not in caplog.text


async def test_secrets_and_urls_of_a_pod_are_in_its_volume(store: Store, tmp_path: Path) -> None:
    async with receiver() as to:
        (tmp_path / "billing.secrets").write_text(SECRET)
        (tmp_path / "billing.url").write_text(to.url + "\n")
        ref = {"name": "hooks", "key": "x"}
        spec = endpoint(
            {
                "name": "billing",
                "urlFrom": {"secretRef": ref},
                "secrets": {"secretRef": ref},
            }
        )
        async with gateway(store, spec, to, volume=tmp_path):
            await complete(store, new())
            await to.wait(1)


async def test_two_gateways_deliver_each_event_once(store: Store, secret: Path) -> None:
    async with receiver() as to:
        spec = endpoint(webhook(to, secret))
        async with gateway(store, spec, to), gateway(store, spec, to):
            await complete(store, *[new() for _ in range(10)])
            await complete(store, *[new() for _ in range(10)])
            await to.wait(20)
            await no_deliveries(store)
    assert len({got.id for got in to.received}) == len(to.received) == 20


async def test_a_gateway_of_other_webhooks_fans_nothing_out(store: Store, secret: Path) -> None:
    async with receiver() as to:
        old, current = endpoint(webhook(to, secret, "old")), endpoint(webhook(to, secret))
        async with gateway(store, old, to), gateway(store, current, to):
            await complete(store, new())
            await to.wait(1)
            await no_deliveries(store)
    assert len(to.received) == 1


async def test_a_receiver_that_is_refused_fails_and_changes_no_job(
    store: Store, secret: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with receiver() as to:
        with caplog.at_level(logging.WARNING):
            async with gateway(store, endpoint(webhook(to, secret))):
                [job_id] = await complete(store, new())
                async with asyncio.timeout(30):
                    while (await store.stats()).totals["webhooks_failed"] == 0:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                assert await state_of(store, job_id) == "Completed"
    assert to.received == []
    assert "token=secret" not in caplog.text
