"""Memory and Redis answer alike with webhooks too: the ends of jobs, deliveries, and receivers."""

import hashlib

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from asyncendpoints_core.jobs.policy import CLIENT_RECEIVERS, Policy
from asyncendpoints_core.jobs.records import Attributes, Job
from asyncendpoints_core.store.deliveries import (
    Delivery,
    DeliveryEnd,
    DeliveryOutcome,
    FanOut,
    Leased,
    NewDelivery,
)
from asyncendpoints_core.store.protocol import Store
from support.redis.server import RedisServer
from support.store.side_by_side import POLICIES, STEPS, SideBySide
from support.store.stores import new

# One set of webhooks for each policy that the walk puts in force; the last are of one job's name.
STATES = (7, 7 | CLIENT_RECEIVERS, CLIENT_RECEIVERS, 2, 7)
RECEIVERS = (b"host one", b"host two", b"else one")
URL = "https://hooks.example.com/"


def by_end(jobs: list[Job]) -> list[Job]:
    """Return ends of jobs in an order of their own: those of one millisecond have none."""
    return sorted(jobs, key=lambda job: (job.id, job.revision))


class Notifying(SideBySide):
    """The walk of test_side_by_side.py with webhooks in every policy."""

    def __init__(self) -> None:
        super().__init__()
        self.leased: list[Delivery] = []

    def adapt(self, policy: Policy) -> Policy:
        number = POLICIES.index(policy)
        only = ("image",) if number == len(POLICIES) - 1 else ()
        return msgspec.structs.replace(
            policy, webhooks=7, webhook_states=STATES[number], webhook_jobs=only
        )

    @rule(count=st.integers(1, 3))
    def enqueue_named(self, count: int) -> None:
        news = [
            new(job_id=self.next_id(), attributes=Attributes(webhooks=(f"{URL}{number}",)))
            for number in range(count)
        ]
        self.news |= {one.id: one for one in news}
        self.both(lambda store: store.enqueue(news))

    @rule(to=st.lists(st.sampled_from(RECEIVERS), unique=True), most=st.integers(1, 40))
    def fan_out(self, to: list[bytes], most: int) -> None:
        async def all_ends(store: Store) -> list[Job]:
            return by_end(await store.webhook_events(1_000))

        ends = self.both(all_ends) or []
        made = [FanOut(job, tuple(self.delivery(job, one) for one in to)) for job in ends[:most]]
        self.both(lambda store: store.fan_out(7, made))

    def delivery(self, job: Job, receiver: bytes) -> NewDelivery:
        digest = hashlib.sha256(job.id + job.revision.to_bytes(4) + receiver).digest()
        return NewDelivery(digest[:16], receiver, receiver.decode())

    @rule(
        limit=st.integers(1, 16),
        probes=st.integers(0, 2),
        busy=st.lists(st.sampled_from(RECEIVERS), max_size=3),
    )
    def lease(self, limit: int, probes: int, busy: list[bytes]) -> None:
        found: Leased | None = self.both(
            lambda store: store.lease_deliveries(
                limit, 2_000, probes=probes, per_host=4, busy=busy, expiry_ms=60_000
            )
        )
        self.leased += found.deliveries if found else ()

    @rule(
        ends=st.lists(st.sampled_from(DeliveryEnd), min_size=1, max_size=6),
        delay=STEPS,
        status=st.sampled_from([0, 200, 500]),
    )
    def settle_deliveries(self, ends: list[DeliveryEnd], delay: int, status: int) -> None:
        outcomes = [
            DeliveryOutcome(one.id, one.token, end, delay, status)
            for one, end in zip(reversed(self.leased), ends, strict=False)
        ]
        self.both(lambda store: store.settle_deliveries(outcomes, 5_000))

    @rule(
        to=st.sampled_from(RECEIVERS),
        count=st.integers(1, 4),
        end=st.sampled_from([*DeliveryEnd, DeliveryEnd.FAILED, DeliveryEnd.FAILED]),
        delay=STEPS,
    )
    def deliver(self, to: bytes, count: int, end: DeliveryEnd, delay: int) -> None:
        """End some jobs, and send what is due as a gateway does, with the same outcome for all."""
        self.both(lambda store: store.reopen_queue())
        ids = [self.next_id() for _ in range(count)]
        self.both(lambda store: store.enqueue([new("image", job_id=one) for one in ids]))
        self.both(lambda store: store.cancel(ids))
        self.fan_out([to], 40)
        self.lease(16, 2, [])
        self.settle_deliveries([end] * 16, delay, 500)

    @rule(count=st.integers(1, 6))
    def replay(self, count: int) -> None:
        keys = [one.id for one in self.leased[-count:]]
        names = {receiver.decode(): receiver[4:] for receiver in RECEIVERS[:2]}
        self.both(lambda store: store.replay_deliveries(keys, names))

    @invariant()
    def webhooks_are_alike(self) -> None:
        self.both(lambda store: store.webhook_status())


@pytest.mark.timeout(300)
def test_webhooks_are_alike(redis_server: RedisServer) -> None:
    Notifying.url = redis_server.url
    run_state_machine_as_test(
        Notifying,
        settings=settings(
            max_examples=8,
            stateful_step_count=50,
            derandomize=True,  # the same walk on every machine; a new one is a change of this file
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )
