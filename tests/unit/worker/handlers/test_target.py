"""What runs an endpoint's jobs, as its resource says."""

from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_worker.handlers.target import target_of
from support.resources import resource


async def test_a_container_may_enqueue_the_jobs_of_routes_and_schedules() -> None:
    nightly = {"name": "nightly", "cron": "0 3 * * *", "job": "clean-up"}
    spec = {"worker": {"handlers": None, "http": {"port": 3000}}, "schedules": [nightly]}
    target = target_of(AsyncEndpoint.parse(resource(**spec)))
    assert target.enqueue_rules.names == frozenset({"build-report", "clean-up"})
