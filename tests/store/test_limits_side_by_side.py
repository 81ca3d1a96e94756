"""Memory and Redis answer alike with keys and limits too, and no limit of concurrency is passed."""

from collections import Counter

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from asyncendpoints_core.jobs.policy import Limit, Policy, limits_of
from asyncendpoints_core.jobs.records import Attributes, Priority
from support.redis.server import RedisServer
from support.store.side_by_side import POLICIES, SideBySide
from support.store.stores import new

# One set of limits for each policy that the walk puts in force. The first ones hold always.
ALWAYS = {"t": 5, "jreport": 4, "kacme": 2}
LIMITS = tuple(
    limits_of(
        total=Limit(concurrency=5, rate=rate, burst=4),
        jobs={"report": Limit(concurrency=4), "image": Limit(rate=image, burst=1)},
        every_key=msgspec.structs.replace(every, depth=6),
        keys={"acme": Limit(concurrency=2, weight=3, depth=4)},
    )
    for rate, image, every in (
        (0, 0, Limit()),
        (0, 0, Limit(concurrency=1)),
        (2, 0, Limit(rate=1, burst=2, weight=0.5)),
        (0, 1, Limit(concurrency=3)),
        (0.5, 3, Limit(concurrency=1, rate=4, burst=4)),
    )
)
arrivals = st.lists(
    st.tuples(
        st.sampled_from(["", "acme", "beta", "c"]),
        st.sampled_from(["report", "image", "mail"]),
        st.sampled_from(Priority),
        st.sampled_from([0, 0, 0, 500]),
    ),
    min_size=1,
    max_size=8,
)


class Limited(SideBySide):
    """The walk of test_side_by_side.py with limits in every policy."""

    def adapt(self, policy: Policy) -> Policy:
        return msgspec.structs.replace(policy, limits=LIMITS[POLICIES.index(policy)])

    @rule(items=arrivals)
    def enqueue_keyed(self, items: list[tuple[str, str, Priority, int]]) -> None:
        news = []
        for key, name, priority, delay in items:
            job_id = self.next_id()
            carried = Attributes(key=key)
            news.append(
                new(name, priority=priority, delay_ms=delay, job_id=job_id, attributes=carried)
            )
        self.news |= {one.id: one for one in news}
        self.both(lambda store: store.enqueue(news))

    @invariant()
    def no_limit_is_passed(self) -> None:
        scan = self.run(self.backends[0].scan())
        usage = Counter({"t": len(scan.places)})
        for key, name in scan.places.values():
            usage.update([f"j{name}", f"k{key}"])
        over = {name: usage[name] for name, most in ALWAYS.items() if usage[name] > most}
        assert not over


class Fair(Limited):
    """The same with keys alone, and no limit."""

    def adapt(self, policy: Policy) -> Policy:
        return msgspec.structs.replace(policy, limits=limits_of())

    @invariant()
    def no_limit_is_passed(self) -> None:
        pass


@pytest.mark.timeout(300)
@pytest.mark.parametrize("machine", [Limited, Fair])
def test_limits_are_alike_and_hold(redis_server: RedisServer, machine: type[Limited]) -> None:
    machine.url = redis_server.url
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=4,
            stateful_step_count=50,
            derandomize=True,  # the same walk on every machine; a new one is a change of this file
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )
