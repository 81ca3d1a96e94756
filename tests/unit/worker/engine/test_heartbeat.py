"""The heart of a supervisor: a member that ends while the store is asked is told nothing."""

from collections.abc import Sequence

from asyncendpoints_core.jobs.policy import Policy
from asyncendpoints_core.jobs.records import Claim
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.protocol import Beat, BeatReply, WorkerInfo
from asyncendpoints_worker.engine.heartbeat import Heart


class Child:
    """A member whose shared page is gone once it has ended, as a real child's is."""

    def __init__(self, name: str) -> None:
        self.name, self.worker, self.draining, self.strange_beats = name, "", False, 0
        self.ended, self.told = False, 0

    @property
    def held(self) -> int:
        self.told += 1
        if self.ended:
            raise ValueError("mmap closed or invalid")
        return 0

    def info(self) -> WorkerInfo:
        return WorkerInfo(self.name, "pod", "nonce", 1)

    def registered(self, worker: str) -> None:
        self.worker = worker

    def refused(self) -> None: ...
    def gone(self) -> None: ...
    def cancel(self, claims: Sequence[Claim]) -> None: ...
    def reconcile(self) -> None: ...
    def follow(self, policy: Policy) -> None: ...


async def test_a_member_that_ends_during_a_beat_is_left_alone() -> None:
    first, second = Child("first"), Child("second")
    children = [first, second]

    class EndsOne(MemoryStore):
        async def heartbeat(self, beats: Sequence[Beat]) -> list[BeatReply]:
            replies = await super().heartbeat(beats)
            children.remove(first)
            first.ended = True
            return replies

    store = EndsOne()
    await store.open()
    policy = await store.configure(Policy())
    await Heart(store, policy, lambda: children).beat()
    assert (first.told, second.told) == (1, 2)
