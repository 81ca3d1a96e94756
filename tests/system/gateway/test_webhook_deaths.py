"""A gateway that is killed while it delivers: the event arrives again, with the same id."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import yaml

from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.redis import RedisStore
from support.http.receiver import SECRET, Receiver, receiver
from support.resources import resource
from support.store.stores import DONE, hand, new, no_deliveries, put

# A lease of a second in place of half a minute; the rest is the gateway as it is.
PROGRAM = """
import sys
from asyncendpoints_gateway.webhooks import delivery
delivery.LEASE_MS = 1_000
from asyncendpoints_cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@asynccontextmanager
async def gateway(file: Path, url: str, to: Receiver) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a gateway process that may send to a receiver."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, "gateway", "--endpoint", str(file), "--redis", url),
        *("--port", "0", "--admin-port", "0"),
        env={"ASYNCENDPOINTS_WEBHOOK_ALLOW": f"127.0.0.1:{to.port}"},
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_a_gateway_killed_before_it_records_a_delivery_loses_none(
    redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(SECRET)
    hold = asyncio.get_running_loop().create_future()
    async with receiver(answer=lambda: asyncio.shield(hold)) as to:
        hook = {"name": "billing", "url": to.url, "secrets": {"file": "secret"}}
        document = resource(webhooks=[hook])
        file = tmp_path / "endpoint.yaml"
        file.write_text(yaml.safe_dump(document))
        described = AsyncEndpoint.parse(document)
        store = RedisStore(redis_url, described.key)
        await store.open()
        await store.configure(described.spec.policy())
        # Ends that no gateway has seen yet: written by the script that ended the jobs.
        made = await put(store, new(), new(), new())
        worker = await hand(store)
        await store.settle([jobs.complete(each.claim, DONE) for each in await worker.take()])
        assert (await store.webhook_status()).pending == 3
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
        assert len(sent) == len(made)
        assert {got.job["id"] for got in again} == {got.job["id"] for got in to.received[:3]}
        await store.close()
