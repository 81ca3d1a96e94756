"""Actions on many jobs, by processes of which one is killed, while others submit and drain.

`make bench ARGS=actions` does the same with 100,000 jobs, and measures each step.
"""

import asyncio

from bench.bench_actions import measure
from support.redis.server import RedisServer

JOBS, RATE = 5_000, 1_000


def test_no_job_is_missed_or_taken_twice() -> None:
    with RedisServer() as server:
        found = asyncio.run(measure(server.url, JOBS, RATE))
    assert not found.wrong
    assert {kind: action.state for kind, action in found.actions.items()} == {
        "retry": "Done",
        "cancel": "Done",
        "purge": "Done",
    }
    assert found.actions["retry"].done == JOBS
    assert found.actions["purge"].done == found.actions["cancel"].done > 0
