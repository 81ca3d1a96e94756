"""Limits of the resource: what the store gets, and what is refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from asyncendpoints_core.jobs.policy import Limit
from asyncendpoints_core.resource import AsyncEndpoint


def parse(limits: Any = None, **spec: Any) -> AsyncEndpoint:
    """Return a small endpoint with these limits."""
    route = {"path": "/reports/{customer}", "job": "build-report", **spec.pop("route", {})}
    spec |= {"routes": [route], "worker": {"handlers": "reports.jobs"}}
    if limits is not None:
        spec["limits"] = limits
    return AsyncEndpoint.parse(
        {
            "apiVersion": "asyncendpoints.io/v1alpha1",
            "kind": "AsyncEndpoint",
            "metadata": {"name": "reports"},
            "spec": spec,
        }
    )


def test_there_is_nothing_to_do_without_keys_and_limits() -> None:
    assert parse().spec.policy().limits is None


@pytest.mark.parametrize(
    "spec",
    [
        {"route": {"key": "param:customer"}},
        {"limits": {}},
        {"schedules": [{"name": "a", "cron": "@daily", "job": "build-report", "key": "acme"}]},
    ],
)
def test_keys_share_the_starts_once_there_can_be_any(spec: dict[str, Any]) -> None:
    assert parse(**spec).spec.policy().limits == {}


def test_the_store_gets_each_limit_by_its_resource() -> None:
    limits = {
        "total": {"concurrency": 100},
        "perJob": [{"job": "build-report", "ratePerSecond": 0.5}],
        "perKey": {"concurrency": 4, "ratePerSecond": 10, "burst": 20, "maxDepth": 9},
        "keys": [
            {"key": "acme", "concurrency": 20, "weight": 3},
            {"key": "ünï", "ratePerSecond": 2},
        ],
    }
    assert parse(limits).spec.policy().limits == {
        "t": Limit(100),
        "jbuild-report": Limit(0, 0.5, 1),
        "k": Limit(4, 10, 20, depth=9),
        "kacme": Limit(20, 10, 20, 3, 9),
        "künï": Limit(4, 2, 2, depth=9),
    }


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"total": {"concurrency": 0}}, "greater than or equal to 1"),
        ({"total": {"ratePerSecond": 0}}, "greater than or equal to 0.0001"),
        ({"total": {"burst": 3}}, "needs ratePerSecond"),
        ({"perKey": {"concurency": 3}}, "perKey.concurency"),
        ({"perJob": [{"job": "a"}, {"job": "a"}]}, 'duplicate job "a"'),
        ({"keys": [{"key": "a"}, {"key": "a"}]}, 'duplicate key "a"'),
        ({"keys": [{"key": "x" * 65}]}, "at most 64"),
        ({"keys": [{"key": "a\n"}]}, "keys.0.key"),
        ({"keys": [{"key": "a", "weight": 0}]}, "0.01"),
        ({"keys": [{"key": str(n)} for n in range(1_001)]}, "1000"),
    ],
)
def test_a_limit_that_is_refused(limits: Any, says: str) -> None:
    with pytest.raises(ValidationError, match="limits") as caught:
        parse(limits)
    assert says in str(caught.value)
