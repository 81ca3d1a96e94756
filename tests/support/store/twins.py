"""Two stores that get the same commands: asks both, compares, and says in what they differ."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import msgspec
from hypothesis.stateful import RuleBasedStateMachine, invariant
from redis import Redis

from asyncendpoints_core.errors import StoreError
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.store.protocol import Store
from support.redis.backend import RedisBackend
from support.store.stores import Backend, MemoryBackend, check, check_locks

T = TypeVar("T")


def difference(memory: object, redis: object) -> str:
    """Say in what two answers differ, part by part."""
    if isinstance(memory, msgspec.Struct) and isinstance(redis, msgspec.Struct):
        memory, redis = msgspec.structs.asdict(memory), msgspec.structs.asdict(redis)
    if isinstance(memory, dict) and isinstance(redis, dict):
        pairs = {name: (memory.get(name), redis.get(name)) for name in memory | redis}
        return "; ".join(f"{name}: {difference(a, b)}" for name, (a, b) in pairs.items() if a != b)
    lists = isinstance(memory, list | tuple) and isinstance(redis, list | tuple)
    if lists and len(memory) == len(redis):  # type: ignore[arg-type]
        both = zip(memory, redis, strict=True)  # type: ignore[call-overload]
        return "; ".join(difference(a, b) for a, b in both if a != b)
    return f"memory {memory!r}, redis {redis!r}"


class Twins(RuleBasedStateMachine):
    """Memory and an emptied Redis; after every command all figures and every job must agree."""

    url = ""  # set by the test

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        with Redis.from_url(self.url) as client:
            client.flushall()
        self.redis = RedisBackend(self.url)
        self.backends: list[Backend] = [MemoryBackend(), self.redis]
        self.ids: list[JobId] = []
        for backend in self.backends:
            self.run(backend.open())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def both(self, ask: Callable[[Store], Awaitable[T]]) -> T | None:
        """Ask both stores the same; return the answer they agree on, None for a refusal.

        What is unfinished is on no timer of Redis, whatever was done.
        """
        answers: list[T | None] = []
        faults: list[str] = []

        async def one(store: Store) -> T:
            return await ask(store)

        for backend in self.backends:
            try:
                answers.append(self.run(one(backend.store)))
                faults.append("")
            except (StoreError, ValueError) as error:
                answers.append(None)
                faults.append(type(error).__name__)
        assert faults[0] == faults[1]
        assert answers[0] == answers[1], difference(*answers)
        self.run(self.redis.check_timers())
        return answers[0]

    @invariant()
    def everything_is_alike(self) -> None:
        async def figures(store: Store) -> object:
            stats = await store.stats()
            shown = {
                name: {state: count for state, count in states.items() if count}
                for name, states in stats.by_name.items()
            }
            totals = {name: count for name, count in stats.totals.items() if count}
            return {
                **{name: getattr(stats, name) for name in stats.__struct_fields__},
                "by_name": shown,
                "totals": totals,
            }

        self.both(figures)
        self.both(lambda store: store.get(self.ids))

    def teardown(self) -> None:
        try:
            for backend in self.backends:
                self.run(check(backend))
                self.run(check_locks(backend))
        finally:
            for backend in self.backends:
                self.run(backend.close())
            self.runner.close()
