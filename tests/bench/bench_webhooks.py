"""What 1,000 failing receivers of webhooks cost the jobs of their endpoint: drain and latency.

A thousand clients have named a receiver of their own, and each has events waiting for it; one in
twenty never answers, the others answer 500. In turns, the process that delivers goes on and is
stopped, while jobs without a receiver are drained and timed.
`python tests/bench/bench_webhooks.py [--jobs N] [--rounds N] [--samples N] [--json]`
"""

import argparse
import asyncio
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parent.parent))

from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.jobs.records import Attributes
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.store.redis import RedisStore
from asyncendpoints_gateway.webhooks.addresses import AddressRules
from asyncendpoints_gateway.webhooks.delivery import Deliveries, Source
from asyncendpoints_gateway.webhooks.receivers import receivers_of
from asyncendpoints_gateway.webhooks.sending import Sender
from bench.bench_drain import drain
from bench.bench_latency import sample
from support.redis.server import RedisServer
from support.store.work import endpoint, new_job, submit, until_final
from support.worker.process import WorkerProcess

HERE = Path(__file__).resolve().parent
RECEIVERS, EVENTS = 1_000, 5
SECRET = "whsec_" + "c2VjcmV0" * 6


def resource(port: int) -> AsyncEndpoint:
    """Return the endpoint; its receivers are all on `port`."""
    return endpoint(
        worker={"handlers": "drain_jobs", "concurrency": 200},
        queue={"maxDepth": 1_000_000},
        webhookRequests={
            "allow": [f"http://*.bench.test:{port}"],
            "secrets": {"file": "secret"},
        },
    )


def host_of(number: int) -> str:
    """Return the name of a receiver."""
    return f"r{number}.bench.test"


async def lookup(host: str, port: int) -> Sequence[str]:  # of the protocol
    """Find every receiver on this machine."""
    return ["127.0.0.1"]


async def deliver(url: str, port: int, folder: Path) -> None:
    """Deliver as a gateway does, until the process is ended."""
    found, time_source = resource(port), SystemTime()
    store = RedisStore(url, found.key)
    await store.open()
    rules = AddressRules(local=frozenset((host_of(each), port) for each in range(RECEIVERS)))
    sender = Sender(rules, time_source, lookup)
    receivers = receivers_of(found, None, folder)
    source = Source(found, "", store)
    await Deliveries(source, receivers, sender, time_source, lambda *_: None, lambda _: None).run()


async def fail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer 500, or for one receiver in twenty nothing."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        number = int(head.partition(b"Host: r")[2].partition(b".")[0])
        if number % 20 == 0:
            await reader.read()  # until the sender gives up
        writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError, ValueError):
        pass
    finally:
        writer.close()


async def events(store: RedisStore, port: int) -> None:
    """Have jobs end for which every receiver is to get some events."""
    for _ in range(EVENTS):
        jobs = [
            msgspec.structs.replace(
                new_job("noop"),
                attributes=Attributes(webhooks=(f"http://{host_of(each)}:{port}/hooks",)),
            )
            for each in range(RECEIVERS)
        ]
        await until_final(store, *await submit(store, *jobs))


async def failing(store: RedisStore) -> int:
    """Return how many receivers have failed so far."""
    return sum(each.failures > 0 for each in (await store.webhook_status()).receivers)


async def measure(count: int, rounds: int, samples: int) -> dict[str, list[float]]:
    """Return rates and milliseconds, of the times with deliveries and of those without."""
    found: dict[str, list[float]] = {}
    server = await asyncio.start_server(fail, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    wanted = resource(port)
    with RedisServer() as redis, tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "secret").write_text(SECRET)
        store = RedisStore(redis.url, wanted.key)
        await store.open()
        await store.configure(wanted.spec.policy())
        arguments = [sys.executable, __file__, "--deliver", redis.url, str(port), folder]
        with (
            WorkerProcess(wanted, redis.url, HERE, stderr=subprocess.DEVNULL) as worker,
            subprocess.Popen(arguments) as sender,
        ):
            await drain(store, 1_000, {})
            await events(store, port)
            # The others take their time to fail.
            while await failing(store) < RECEIVERS // 2:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            for _ in range(rounds):
                for side, number in (("with", signal.SIGCONT), ("without", signal.SIGSTOP)):
                    sender.send_signal(number)
                    rate, _ = await drain(store, count, {})
                    found.setdefault(f"drain {side}", []).append(rate)
                    times = found.setdefault(f"ms {side}", [])
                    for _ in range(samples):
                        await asyncio.sleep(0.01)
                        times.append(await sample(store))
            found["pending"] = [float((await store.webhook_status()).pending)]
            sender.kill()
            await asyncio.to_thread(worker.stop)
        await store.close()
    server.close()
    return found


def summary(found: dict[str, list[float]]) -> dict[str, float]:
    """Return the medians and their ratios."""
    middle: dict[str, float] = {name: statistics.median(each) for name, each in found.items()}
    middle["drain ratio"] = middle["drain with"] / middle["drain without"]
    middle["latency ratio"] = middle["ms with"] / middle["ms without"]
    return middle


def main() -> None:
    """Measure and print the table, or one JSON line."""
    if sys.argv[1:2] == ["--deliver"]:
        url, port, folder = sys.argv[2:]
        asyncio.run(deliver(url, int(port), Path(folder)))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    began = time.monotonic()
    found: dict[str, Any] = summary(
        asyncio.run(measure(options.jobs, options.rounds, options.samples))
    )
    if options.json:
        print(json.dumps(found))
        return
    print(f"{RECEIVERS} failing receivers, {found['pending']:.0f} deliveries wait")
    for side in ("with", "without"):
        print(f"{side:>8} {found[f'drain {side}']:>8.0f} jobs/s {found[f'ms {side}']:>8.2f} ms")
    print(f"   ratio {found['drain ratio']:>8.2f} {found['latency ratio']:>15.2f}")
    print(f"in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
