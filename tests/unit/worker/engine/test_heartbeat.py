"""The heartbeat of a supervisor, and what it passes on to the holders of leases."""

from collections.abc import Sequence

from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.jobs.policy import Policy
from asyncendpoints_core.jobs.records import Claim
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.replies import Cause, LeaseRenewal, LeaseReply, WorkerInfo
from asyncendpoints_worker.engine.heartbeat import Heartbeat


class Child:
    """A lease holder whose run status page is closed once it has ended, as a real child's is."""

    def __init__(self, name: str) -> None:
        self.name, self.worker, self.draining, self.excess_beats = name, "", False, 0
        self.ended, self.reads = False, 0

    @property
    def held(self) -> int:
        self.reads += 1
        if self.ended:
            raise ValueError("mmap closed or invalid")
        return 0

    def info(self) -> WorkerInfo:
        return WorkerInfo(self.name, "pod", "nonce", 1)

    def registered(self, worker: str) -> None:
        self.worker = worker

    def id_taken(self) -> None: ...

    def lease_lost(self) -> None:
        self.worker = ""

    def cancel(self, claims: Sequence[Claim]) -> None: ...
    def reconcile(self) -> None: ...
    def apply_policy(self, policy: Policy) -> None: ...


async def test_a_holder_that_ends_during_a_heartbeat_is_left_alone() -> None:
    first, second = Child("first"), Child("second")
    children = [first, second]

    class EndsOne(MemoryStore):
        async def heartbeat(self, beats: Sequence[LeaseRenewal]) -> list[LeaseReply]:
            replies = await super().heartbeat(beats)
            children.remove(first)
            first.ended = True
            return replies

    store = EndsOne()
    await store.open()
    policy = await store.configure(Policy())
    await Heartbeat(store, SystemTime(), policy, lambda: children).beat()
    assert (first.reads, second.reads) == (1, 2)


async def test_a_holder_whose_lease_was_lost_is_notified() -> None:
    child = Child("first")
    store = MemoryStore()
    await store.open()
    policy = await store.configure(Policy())
    heartbeat = Heartbeat(store, SystemTime(), policy, lambda: [child])
    await heartbeat.beat()
    assert child.worker == "first"
    await store.release_worker("first", Cause.LOST)
    await heartbeat.beat()
    assert child.worker == ""
