"""Values that keep keys and limits in Redis damaged, and what becomes of all jobs then."""

from collections.abc import Awaitable, Callable
from typing import Any

from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.policy import Limit, limits_of
from asyncendpoints_core.jobs.records import Attributes, NewJob, Priority
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.actions import ActionKind, NewAction
from asyncendpoints_core.store.listing import JobFilter
from asyncendpoints_core.store.replies import Cause
from support.redis.backend import RedisBackend
from support.store.stores import DONE, ERROR, Hand, hand, new, policy, put

HASHES = ("flows", "states", "places", "buckets", "limits", "tags", "cursors")
LIMITED = policy(
    limits=limits_of(
        total=Limit(concurrency=20),
        jobs={"slow": Limit(concurrency=1), "paced": Limit(rate=0.5, burst=2)},
        every_key=Limit(concurrency=3, rate=100, burst=100, depth=50),
        keys={"blue": Limit(weight=3)},
    )
)
UNFINISHED = (State.QUEUED, State.SCHEDULED, State.IN_PROGRESS)
_EMPTY = ("flows", "keyed", "order", "places", "usage", "parked", "waiting")


def _of(key: str, name: str = "report", priority: Priority = Priority.NORMAL) -> NewJob:
    return new(name, priority=priority, attributes=Attributes(key=key))


class GateValues:
    """A store with keys and limits, and jobs that start, wait behind others and are held back."""

    def __init__(self, url: str) -> None:
        self.backend = RedisBackend(url)
        self.store = self.backend.store
        self.jobs: list[JobId] = []
        self.canceled: list[JobId] = []

    async def build(self) -> None:
        """Put everything into an empty Redis."""
        await self.backend.redis.flushall()
        await self.backend.open()
        await self.store.configure(LIMITED)
        names = ("report", "slow", "paced")
        await self._put(*(_of(key, name) for key in ("a", "blue", "") for name in names * 2))
        worker = await hand(self.store)
        taken = [job.claim for job in await worker.take(6)]
        await self.store.settle([jobs.complete(taken[0], DONE), jobs.fail(taken[1], ERROR)])
        await self.store.settle([jobs.retry_later(taken[2], ERROR, 1_000)])
        await self._put(*(_of(key) for key in "aaab"), _of("b", priority=Priority.HIGH))
        await self.store.sweep()

    async def _put(self, *made: NewJob) -> None:
        self.jobs += await put(self.store, *made)

    async def values(self) -> list[tuple[str, bytes]]:
        """Return the hash and the field of every value, in a fixed order."""
        found = []
        for name in HASHES:
            fields = sorted(await self.backend.redis.hkeys(self.backend.key("gate:" + name)))
            found += [(name, field) for field in fields]
        return found

    async def change(self, name: str, field: bytes, value: Callable[[bytes], bytes]) -> None:
        """Replace a value."""
        key = self.backend.key("gate:" + name)
        await self.backend.redis.hset(key, field, value(await self.backend.redis.hget(key, field)))

    async def use(self) -> list[str]:
        """Call the verbs that read these values; return those that failed."""
        store, failures = self.store, []
        worker = Hand(store, "w1")
        self.canceled = self.jobs[-3:-1]
        purge = NewAction(JobId(b"p" * 16), ActionKind.PURGE, only=JobFilter(job="none"))
        verbs: dict[str, Callable[[], Awaitable[Any]]] = {
            "enqueue": lambda: self._put(_of("a"), _of("blue", "slow"), _of("new"), _of("")),
            "stats": store.stats,
            "inspect": lambda: store.inspect(self.jobs),
            "list": lambda: store.list(None, 500, None),
            "cancel": lambda: store.cancel(self.canceled),
            "action": lambda: store.begin_action(purge),
            "step": lambda: store.step_action(purge.id),
            "claim": lambda: worker.take(1),
            "claim more": lambda: worker.take(5),
            "release": lambda: store.release_worker("w1", Cause.CRASH),
            "recover": store.recover,
            "sweep": store.sweep,
            "retry": lambda: self._retry(),
            "resume": lambda: store.resume("slow"),
        }
        for name, verb in verbs.items():
            try:
                await verb()
            except Exception as error:  # what a verb must not raise, for the test to show
                failures.append(f"{name}: {type(error).__name__}: {error}")
        return failures

    async def _retry(self) -> None:
        failed = (await self.store.list(State.FAILED, 500, None)).jobs
        await self.store.redrive([job.id for job in failed])

    async def drain(self) -> list[str]:
        """Run all jobs as time passes; return what is wrong in the end."""
        failures = []
        try:
            await self._drain()
            await self.store.configure(LIMITED)
        except Exception as error:  # what a verb must not raise, for the test to show
            failures.append(f"drain: {type(error).__name__}: {error}")
        found = {job.id: job for job in (await self.store.list(None, 500, None)).jobs}
        for index, job in enumerate(self.jobs):
            state = found[job].state if job in found else None
            if state not in (State.COMPLETED, State.CANCELED if job in self.canceled else None):
                failures.append(f"job {index}: {state}")
        for name in _EMPTY:
            key = self.backend.key("gate:" + name)
            is_hash = await self.backend.redis.type(key) == b"hash"
            fields = await (self.backend.redis.hkeys if is_hash else self._members)(key)
            if left := [field for field in fields if field != b"\0"]:
                failures.append(f"{name}: {left}")
        return failures

    async def _members(self, key: str) -> list[bytes]:
        return list(await self.backend.redis.zrange(key, 0, -1))

    async def _drain(self) -> None:
        for number in range(60):
            await self.backend.advance(3_000)
            await self.store.sweep()
            for name in (await self.store.recover()).expired:
                await self.store.release_worker(name, Cause.LOST)
            worker = await hand(self.store, f"drain{number}")
            running = [job.claim for job in await worker.take(20)]
            await self.store.settle([jobs.complete(claim, DONE) for claim in running])
            counts = (await self.store.stats()).counts
            if not any(counts.get(state) for state in UNFINISHED):
                return


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "emptied": lambda value: b"",
    "one byte": lambda value: value[:1],
    "cut": lambda value: value[: len(value) * 6 // 10],
    "a byte less": lambda value: value[:-1],
    "a byte more": lambda value: value + b"\0",
    "other bytes": lambda value: b"\xff" * len(value),
    "first bit": lambda value: bytes([value[0] ^ 1]) + value[1:] if value else b"a",
    "last bit": lambda value: value[:-1] + bytes([value[-1] ^ 1]) if value else b"a",
    "nested": lambda value: b"\x91" * 3_000,
}


async def damage_one(url: str, index: int, value: Callable[[bytes], bytes]) -> list[str]:
    """Damage the value `index` and run every job; return what is wrong."""
    made = GateValues(url)
    try:
        await made.build()
        found = await made.values()
        name, field = found[index % len(found)]
        await made.change(name, field, value)
        failures = await made.use() + await made.drain()
        return [f"{name} {field!r}: {failure}" for failure in failures]
    finally:
        await made.backend.close()
