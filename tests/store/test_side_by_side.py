"""Memory and Redis given the same commands at the same moved time must answer alike, always."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from support.redis.server import RedisServer
from support.store.side_by_side import SideBySide


@pytest.mark.timeout(300)
def test_memory_and_redis_answer_alike(redis_server: RedisServer) -> None:
    SideBySide.url = redis_server.url
    run_state_machine_as_test(
        SideBySide,
        settings=settings(
            max_examples=40,
            stateful_step_count=50,
            derandomize=True,  # the same walk on every machine; a new one is a change of this file
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )
