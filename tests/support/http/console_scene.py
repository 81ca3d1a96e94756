"""A queue with an hour of history, for the tests and the pictures of the console's pages."""

import random
from dataclasses import dataclass, field

import msgspec

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs import records as jobs
from asyncendpoints_core.jobs.records import (
    Attributes,
    ClaimedJob,
    JobError,
    NewJob,
    Progress,
    Request,
    Result,
)
from asyncendpoints_core.scaling.decide import Limits, Memory, decide
from asyncendpoints_core.scaling.figures import FigureWriter
from asyncendpoints_core.scaling.signals import signals_of
from asyncendpoints_core.scaling.victims import Worker
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.replies import WorkerInfo
from support.store.stores import POLICY, SetTime

NAMES = ("build-report", "send-invoice", "resize-image")
SLOTS = 3
"""Of each worker."""
ERRORS = (
    JobError("handler-error", "ConnectionError: the mail server refused the connection", True),
    JobError("permanent", "customer 4711 has no address", False),
    JobError("execution-timeout", "the execution timeout of 60 s is over", True),
)


@dataclass
class Scene:
    """A store whose clock the scene moves, and the jobs that tests and pictures name."""

    time: SetTime = field(default_factory=lambda: SetTime(1_800_000_000_000))
    running: str = ""
    failed: str = ""
    completed: str = ""

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.time)
        self._figures = FigureWriter(self.store)
        self._memory, self._replicas = Memory(), 1
        self._random = random.Random(7)
        self._made = 0

    def _new(self, name: str, **attributes: object) -> NewJob:
        self._made += 1
        customer = f"c-{self._made % 97:03}"
        body = msgspec.json.encode({"customer": customer, "year": 2026, "lines": self._made % 9})
        return NewJob(
            ids.new(self.time.now_ms()),
            name,
            Request(
                *("POST", f"/reports/{customer}", "lang=de&token=t-1", {"customer": customer}),
                {"accept": "application/json", "x-api-key": "k-1", "x-tenant": "blue"},
                *("application/json", body),
            ),
            4,
            attributes=Attributes(**attributes),  # type: ignore[arg-type]
        )

    async def play(self) -> None:
        """Play an hour."""
        store = self.store
        await store.configure(POLICY)
        await self._beat()
        held: list[ClaimedJob] = []
        for step in range(180):
            for _ in range(2):
                self.time.advance(10_000)
                await self._scale()
            await store.recover()
            await self._beat()
            burst = 14 if 120 < step < 172 else 3
            made = [self._new(self._random.choice(NAMES)) for _ in range(burst)]
            await store.enqueue(made)
            done = len(held) - len(held) // 3
            await self._end(held[:done])
            held = held[done:]
            for name in self._workers():
                free = SLOTS - sum(each.job.worker == name for each in held)
                if free:
                    held += (await store.claim(name, step, free)).jobs
        await self._last(held)
        await self._scale()

    async def _scale(self) -> None:
        """Decide as an autoscaler, and record the figures."""
        stats = await self.store.stats()
        workers = tuple(Worker(f"w{number}") for number in range(self._replicas))
        signals = signals_of(stats, self._replicas, workers, concurrency=SLOTS, startup_ms=2_000)
        decision = decide(signals, self._memory, Limits(min_replicas=1, max_replicas=6))
        await self._figures.observe(stats, decision)
        self._memory, self._replicas = decision.memory, decision.replicas

    async def _beat(self) -> None:
        for number, name in enumerate(self._workers()):
            info = WorkerInfo(name, f"pod-{number}", "node-a", SLOTS, version="0.1.0")
            await self.store.register(info)

    def _workers(self) -> list[str]:
        return [f"reports-worker-{number}" for number in range(1, self._replicas + 1)]

    async def _end(self, held: list[ClaimedJob]) -> None:
        for job in held:
            luck = self._random.random()
            if luck < 0.04 and job.job.name != "resize-image":
                error = self._random.choice(ERRORS)
                [_] = await self.store.settle([jobs.fail(job.claim, error)])
            else:
                result = Result("application/json", b'{"pages": 12, "url": "/files/1"}')
                await self.store.settle([jobs.complete(job.claim, result)])
                self.completed = ids.text(job.job.id)

    async def _last(self, held: list[ClaimedJob]) -> None:
        """Leave jobs in every state, one with several attempts."""
        store = self.store
        job = held[-1]
        await store.progress([(job.claim, Progress(0.62, "rendering page 31 of 50"))])
        self.running = ids.text(job.job.id)
        troubled = self._new("send-invoice", tags=("eu", "monthly"), key="acme")
        await store.enqueue([msgspec.structs.replace(troubled, priority=jobs.Priority.HIGH)])
        for number in range(4):
            batch = await store.claim("reports-worker-2", 1_000 + number, 1)
            claim = batch.jobs[0].claim
            self.time.advance(9_000)
            await self._beat()
            if number < 3:
                await store.settle([jobs.retry_later(claim, ERRORS[2 * (number % 2)], 6_000)])
                self.time.advance(6_001)
                await self._beat()
                await store.sweep()
            else:
                await store.settle([jobs.fail(claim, ERRORS[0])])
        self.failed = ids.text(troubled.id)
        later = [
            msgspec.structs.replace(self._new("build-report"), delay_ms=ms)
            for ms in (90_000, 3_600_000)
        ]
        await store.enqueue(later)
        canceled = self._new("resize-image")
        await store.enqueue([canceled])
        await store.cancel([canceled.id])
