"""A gateway that is killed while it delivers: the event arrives again, with the same id."""

import asyncio
import contextlib
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.redis import RedisStore
from support.http.receiver import SECRET, Receiver, receiver
from support.resources import resource
from support.store.stores import DONE, hand, new, no_deliveries, put

# A lease of a second in place of 25 (timeoutSeconds is 15); the rest is the gateway as it is. With
# a verb it kills itself where it first calls it: before the call, or after the store has done it.
PROGRAM = """
import os, signal, sys
from asyncendpoints_cli.main import main
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_gateway.webhooks import delivery

delivery.LEASE_MARGIN_SECONDS = -14
moment, verb, *words = sys.argv[1:]
call = getattr(RedisStore, verb or "open")

async def die(*args, **options):
    if moment == "after":
        await call(*args, **options)
    os.kill(os.getpid(), signal.SIGKILL)

if verb:
    setattr(RedisStore, verb, die)
sys.exit(main(words))
"""


@asynccontextmanager
async def gateway(
    file: Path, url: str, to: Receiver, verb: str = "", moment: str = ""
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a gateway process that may send to a receiver."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, moment, verb),
        *("gateway", "--endpoint", str(file), "--redis", url, "--port", "0", "--admin-port", "0"),
        env={"ASYNCENDPOINTS_WEBHOOK_ALLOW": f"127.0.0.1:{to.port}"},
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@asynccontextmanager
async def three_ends(
    url: str, folder: Path, to: Receiver
) -> AsyncIterator[tuple[RedisStore, Path]]:
    """A store with three ended jobs of which no gateway knows yet, and the endpoint's file."""
    (folder / "secret").write_text(SECRET)
    hook = {"name": "billing", "url": to.url, "secrets": {"file": "secret"}}
    document = resource(webhooks=[hook])
    file = folder / "endpoint.yaml"
    file.write_text(yaml.safe_dump(document))
    described = AsyncEndpoint.parse(document)
    store = RedisStore(url, described.key)
    await store.open()
    await store.configure(described.spec.policy())
    await put(store, new(), new(), new())
    worker = await hand(store)
    await store.settle([jobs.complete(each.claim, DONE) for each in await worker.take()])
    assert (await store.webhook_status()).pending == 3
    yield store, file
    await store.close()


async def test_a_gateway_killed_before_it_records_a_delivery_loses_none(
    redis_url: str, tmp_path: Path
) -> None:
    hold = asyncio.get_running_loop().create_future()
    async with (
        receiver(answer=lambda: asyncio.shield(hold)) as to,
        three_ends(redis_url, tmp_path, to) as (store, file),
    ):
        async with gateway(file, redis_url, to) as first:
            sent = {got.id for got in (await to.wait(3))[:3]}
            first.kill()  # sent, not recorded
            await first.wait()
        assert (await store.webhook_status()).pending == 3
        hold.set_result(None)
        async with gateway(file, redis_url, to):
            await no_deliveries(store)
        again = to.received[3:]
        assert {got.id for got in again} == sent
        assert len(sent) == 3
        assert {got.job["id"] for got in again} == {got.job["id"] for got in to.received[:3]}


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    "verb", ["webhook_events", "fan_out", "lease_deliveries", "settle_deliveries"]
)
async def test_a_gateway_killed_at_any_call_to_the_store_loses_no_event(
    redis_url: str, tmp_path: Path, verb: str, moment: str
) -> None:
    async with receiver() as to, three_ends(redis_url, tmp_path, to) as (store, file):
        async with gateway(file, redis_url, to, verb, moment) as first:
            assert await first.wait() == -signal.SIGKILL
        async with gateway(file, redis_url, to):
            await no_deliveries(store)
        ids = defaultdict(set)
        for got in to.received:
            ids[got.job["id"]].add(got.id)
        assert [len(of_a_job) for of_a_job in ids.values()] == [1, 1, 1]
