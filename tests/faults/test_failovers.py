"""What the soak knows of failovers: of those that it did not cause, too."""

import asyncio
from pathlib import Path

from faults.failovers import LAG_NS, UNREQUESTED, SentinelSystem, gap, unrequested
from faults.system import Gap


async def _failover(system: SentinelSystem) -> None:
    old = system.redis.master
    await asyncio.to_thread(system.redis.failover)
    await asyncio.to_thread(system.redis.join, old)


async def test_a_failover_that_no_fault_caused_is_a_gap(tmp_path: Path) -> None:
    system = SentinelSystem(tmp_path)
    await system.start_redis()
    try:
        with gap(system, "requested"):
            await _failover(system)
        await _failover(system)
        await asyncio.sleep(0.2)  # until it was looked at
    finally:
        await system.close_redis()
    assert [each.fault for each in system.gaps] == ["requested", UNREQUESTED]


def test_what_a_fault_caused_is_not_noted_twice() -> None:
    seen = [Gap(UNREQUESTED, 150 - LAG_NS, 250), Gap(UNREQUESTED, 201 - LAG_NS, 300)]
    assert unrequested(seen, [Gap("killed", 100, 200)]) == seen[1:]
