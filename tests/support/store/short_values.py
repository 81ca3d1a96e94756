"""Values of the hashes in Redis cut short, one at a time, and what every verb makes of it."""

import msgspec

from asyncendpoints_core.errors import RecordError
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.policy import Limit, limits_of
from asyncendpoints_core.jobs.records import Attributes, Claim, Lock, NewJob
from asyncendpoints_core.store.deliveries import DeliveryEnd, DeliveryOutcome, FanOut, NewDelivery
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_core.store.redis.keys import NAMES
from support.redis.backend import RedisBackend
from support.store.stores import DONE, ERROR, Hand, hand, new, policy, put
from support.store.verbs import VERBS, WITH_FEATURES, Act, Scene

LIMITS = limits_of(
    total=Limit(concurrency=50),
    jobs={"limited": Limit(concurrency=1, rate=0.001)},
    every_key=Limit(rate=100.0, burst=100.0),
)
# The endpoint's own state, of which there is one value for all jobs; and logs kept by a sweep.
_STATE = frozenset(("meta", "counts", "totals", "gate:limits", "deliveries:untried"))
LOCK = Lock(b"l" * 16, 600_000)


def _unique(key: str, name: str = "report") -> NewJob:
    return new(name, key=key, attributes=Attributes(key="blue", lock=LOCK))


async def _all(store: Store) -> None:
    """Claim, settle and list as workers and the console do."""
    worker = await hand(store, "later")
    for _ in range(3):
        await store.settle([jobs.retry_later(job.claim, ERROR, 0) for job in await worker.take()])
        await store.recover()
    listed = (await store.list(None, 500, None)).jobs
    found = [job.id for job in listed]
    await store.inspect(found, bodies=True)
    await store.cancel(found)
    await store.redrive(found)
    await store.cancel(found)
    await store.delete(found)


# More of what a value may decide.
_MORE: dict[str, Act] = {
    "the same key and lock": lambda s: s.store.enqueue([_unique("order-1"), _unique("")]),
    "all jobs": lambda s: _all(s.store),
}


class ShortValues:
    """A store with a value of every kind."""

    def __init__(self, url: str) -> None:
        self.backend = RedisBackend(url)
        self.scene = Scene(self.backend.store)

    async def build(self) -> None:
        """Put a value of every kind into an empty Redis."""
        await self.backend.redis.flushall()
        await self.backend.open()
        await self.scene.build()
        store = self.backend.store
        await self._receivers()
        await VERBS["write_logs"](self.scene)
        await store.configure(
            policy(schedules=WITH_FEATURES.schedules, webhooks=1, webhook_states=15, limits=LIMITS)
        )
        await self._retried(await hand(store, "w2"))
        limited = [new("limited", attributes=Attributes(key=key)) for key in "aab"]
        large = new(body=b"x" * 5_000, attributes=Attributes(webhooks=("https://a.example/",)))
        await put(store, _unique("order-1"), large, *limited)
        await store.sweep()
        await store.pause("paused")
        await store.cordon(["w2"], 30, "operator")
        await store.cancel([self.scene.claims[1].job_id])

    async def _retried(self, worker: Hand) -> None:
        """Leave a failed job of 10 attempts, one to be retried as often, and one with a result."""
        store = self.backend.store
        often = await put(store, *(new(max_attempts=20) for _ in range(3)))
        for _ in range(10):
            claims: list[Claim] = []
            while len(claims) < len(often):
                taken = await worker.take(50)
                claims += [each.claim for each in taken if each.job.id in often]
                others = [each.claim for each in taken if each.job.id not in often]
                await worker.settle(*(jobs.complete(claim, DONE) for claim in others))
            await worker.settle(*(jobs.retry_later(claim, ERROR, 0) for claim in claims))
        failed, completed, *_ = await worker.take(50)
        long = msgspec.structs.replace(DONE, body=b"y" * 5_000)
        await worker.settle(jobs.fail(failed.claim, ERROR), jobs.complete(completed.claim, long))

    async def _receivers(self) -> None:
        store = self.backend.store
        ends = await store.webhook_events(10)
        receivers = tuple(NewDelivery(b"%d" % n * 16, b"1" * 8, "billing") for n in range(2))
        await store.fan_out(1, [FanOut(end, receivers) for end in ends[:1]])
        await VERBS["lease_deliveries"](self.scene)
        failing = DeliveryOutcome(b"0" * 16, 1, DeliveryEnd.FAILED, delay_ms=1_000, status=500)
        await store.settle_deliveries([failing], 60_000)

    async def hashes(self) -> dict[str, list[bytes]]:
        """Return the fields of the hashes, by name."""
        found = {}
        for name in sorted(set(NAMES) - _STATE):
            key = self.backend.key(name)
            if await self.backend.redis.type(key) == b"hash":
                found[name] = sorted(await self.backend.redis.hkeys(key))
        return found

    async def cut(self, name: str, field: bytes, size: float) -> None:
        """Leave `size` of a value: bytes, or the share below 1."""
        key = self.backend.key(name)
        value = await self.backend.redis.hget(key, field)
        left = size if size >= 1 else int(len(value) * size)
        await self.backend.redis.hset(key, field, value[: int(left)])

    async def use(self) -> list[str]:
        """Call every verb, then submit what the damaged value may decide; return what failed."""
        failures = []
        for name, verb in (VERBS | _MORE).items():
            try:
                await verb(self.scene)
            except RecordError as error:
                if name != "result":
                    failures.append(f"{name}: {error}")
            except Exception as error:  # what a verb must not raise, for the test to show
                failures.append(f"{name}: {type(error).__name__}: {error}")
        return failures
