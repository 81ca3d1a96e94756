"""The scenarios that determined the defaults of scaling, and that its tests replay."""

import random
from dataclasses import replace

from asyncendpoints_core.jobs.policy import Limit
from asyncendpoints_core.scaling.decide import Limits
from support.scaling import Scenario

MINUTE = 60_000


def poisson(
    seed: int, rate: float, begin_ms: int, end_ms: int, service_ms: int
) -> list[tuple[int, int]]:
    """Return arrivals at random times, `rate` a second, with exponential service times."""
    source = random.Random(seed)
    arrivals, at = [], float(begin_ms)
    while (at := at + source.expovariate(rate) * 1_000) < end_ms:
        arrivals.append((int(at), max(1, int(source.expovariate(1 / service_ms)))))
    return arrivals


def burst() -> Scenario:
    """2,000 jobs of half a second at once, into an endpoint at zero."""
    jobs = [(5_000, 500)] * 2_000
    return Scenario("burst", "2,000 jobs of 0.5 s at once, from zero", jobs, 7 * MINUTE)


def known_burst() -> Scenario:
    """The burst again, into a template of which a worker was ready before."""
    known = burst()
    title = f"{known.title}; a worker was ready before"
    return replace(known, name="known-burst", title=title, proven=True)


def ramp() -> Scenario:
    """From 1 to 40 jobs a second in ten minutes, and back."""
    jobs = []
    for minute in range(20):
        rate = 1 + 4 * min(minute, 19 - minute)
        jobs += poisson(minute, rate, minute * MINUTE, (minute + 1) * MINUTE, 1_000)
    title = "a ramp from 1 to 37 jobs/s of 1 s and back"
    return Scenario("ramp", title, jobs, 24 * MINUTE, startup_ms=8_000)


def slow_start() -> Scenario:
    """Workers need 90 s to start: the queue grows meanwhile, without an overreaction."""
    jobs = poisson(1, 5, 10_000, 12 * MINUTE, 2_000)
    title = "5 jobs/s of 2 s, and a worker needs 90 s to start"
    return Scenario("slow-start", title, jobs, 16 * MINUTE, startup_ms=90_000)


def long_jobs() -> Scenario:
    """Short jobs first, so that the estimate is low; then sixty of ten minutes."""
    jobs = poisson(2, 4, 0, 2 * MINUTE, 200)
    jobs += [(2 * MINUTE + 100 * i, 10 * MINUTE) for i in range(60)]
    title = "jobs of 0.2 s, then sixty of 10 minutes"
    return Scenario("long-jobs", title, jobs, 26 * MINUTE)


def outage() -> Scenario:
    """A Redis outage of three minutes in the middle of steady work."""
    jobs = poisson(3, 10, 0, 10 * MINUTE, 1_500)
    return Scenario(
        "outage",
        "10 jobs/s of 1.5 s; Redis is away for 3 minutes",
        jobs,
        17 * MINUTE,
        outages=((4 * MINUTE, 7 * MINUTE),),
    )


def pulses() -> Scenario:
    """A batch of 200 every 45 seconds: workers must not come and go with each."""
    jobs = [(at, 1_000) for at in range(10_000, 12 * MINUTE, 45_000) for _ in range(200)]
    return Scenario("pulses", "200 jobs of 1 s every 45 s", jobs, 16 * MINUTE)


def trickle() -> Scenario:
    """Five workers of four slots under 1 job/s of 3 s: none is ever idle."""
    jobs = [(at, 3_000) for at in range(0, 8 * MINUTE, 1_000)]
    limits = Limits(min_replicas=0)
    title = "1 job/s of 3 s on 5 workers of 4 slots"
    return Scenario("trickle", title, jobs, 16 * MINUTE, limits, initial=5)


def two_tenants() -> Scenario:
    """One tenant's flood, of which limits let eight run at a time, and steady work of another."""
    flood = [(MINUTE, 2_000)] * 1_500
    title = "two tenants: 1,500 jobs of 2 s at once, 8 at a time, beside 2 jobs/s of 1 s"
    small = poisson(5, 2, 0, 9 * MINUTE, 1_000)
    return Scenario(
        "two-tenants", title, flood, 12 * MINUTE, small=small, per_key=Limit(concurrency=8)
    )


def bad_image() -> Scenario:
    """No new worker ever becomes ready, while work piles up."""
    jobs = poisson(4, 5, 5_000, 4 * MINUTE, 1_000)
    title = "5 jobs/s, and no worker ever becomes ready"
    return Scenario("bad-image", title, jobs, 5 * MINUTE, never_ready_from=0)


ALL = (
    *(burst, known_burst, ramp, slow_start, long_jobs, outage, pulses, trickle, two_tenants),
    bad_image,
)
