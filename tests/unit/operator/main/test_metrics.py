"""The operator's metrics: its own always, those of endpoints while it leads."""

from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.replies import Stats
from asyncendpoints_operator.control.leader import EndpointFigures, LeaderFigures
from asyncendpoints_operator.main.metrics import OperatorCollector, OperatorFigures

NOW_MS = 1_800_000_000_000


def scrape(leader: LeaderFigures | None) -> list[str]:
    figures = OperatorFigures(leader is not None, 12, 34, 5, leader)
    registry = CollectorRegistry()
    registry.register(OperatorCollector(lambda: figures))
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if not line.startswith("#")]


def leads(*endpoints: EndpointFigures, **more: Any) -> LeaderFigures:
    values = {"applies": 6, "status_writes": 7, "decisions": {}, "redis_up": {}, **more}
    return LeaderFigures(**values, endpoints=endpoints)


def test_a_replica_that_stands_by_shows_nothing_of_endpoints() -> None:
    assert scrape(None) == [
        "asyncendpoints_operator_leading 0.0",
        "asyncendpoints_operator_api_requests_total 12.0",
        "asyncendpoints_operator_api_silent_seconds 0.0",
        "asyncendpoints_operator_cached_objects 34.0",
    ]


def test_the_leader_shows_its_own_work_and_each_redis() -> None:
    decisions = {"Steady": 3, "ScaledUp": 1}
    redis_up = {"redis://a:6379/0": True, "redis://b:6379/0": False}
    lines = scrape(leads(decisions=decisions, redis_up=redis_up))
    for expected in (
        "asyncendpoints_operator_leading 1.0",
        "asyncendpoints_operator_queue_depth 5.0",
        "asyncendpoints_operator_applies_total 6.0",
        "asyncendpoints_operator_status_writes_total 7.0",
        'asyncendpoints_scaling_decisions_total{reason="Steady"} 3.0',
        'asyncendpoints_scaling_decisions_total{reason="ScaledUp"} 1.0',
        'asyncendpoints_store_up{redis="redis://a:6379/0"} 1.0',
        'asyncendpoints_store_up{redis="redis://b:6379/0"} 0.0',
    ):
        assert expected in lines


def stats(**more: Any) -> Stats:
    values: dict[str, Any] = {
        "now_ms": NOW_MS,
        "counts": {State.QUEUED: 4, State.IN_PROGRESS: 2},
        "by_name": {},
        "totals": {"claimed": 9, "busy_ms": 1_500, "wait_ms": 250},
        "bytes": 100,
        "oldest_ms": NOW_MS - 1_500,
        "workers": 3,
    }
    return Stats(**values | more)


def test_an_endpoint_shows_its_jobs_and_workers() -> None:
    lines = scrape(leads(EndpointFigures("demo/reports", stats(), 5)))
    labels = 'endpoint="reports"'
    for expected in (
        f'asyncendpoints_jobs{{{labels},namespace="demo",state="Queued"}} 4.0',
        f'asyncendpoints_queue_age_seconds{{{labels},namespace="demo"}} 1.5',
        f'asyncendpoints_queue_bytes{{{labels},namespace="demo"}} 100.0',
        f'asyncendpoints_workers{{{labels},kind="wanted",namespace="demo"}} 5.0',
        f'asyncendpoints_workers{{{labels},kind="registered",namespace="demo"}} 3.0',
    ):
        assert expected in lines
    assert any('event="claimed"' in line and line.endswith(" 9.0") for line in lines)
    # A counter of durations is not an event, and its unit is in its name.
    assert not any("_ms" in line for line in lines)
    assert f'asyncendpoints_job_run_seconds_total{{{labels},namespace="demo"}} 1.5' in lines
    assert f'asyncendpoints_job_wait_seconds_total{{{labels},namespace="demo"}} 0.25' in lines


def test_a_queue_that_cannot_be_read_shows_no_jobs_rather_than_zero() -> None:
    lines = scrape(leads(EndpointFigures("demo/reports", None, 2)))
    assert [line for line in lines if 'namespace="demo"' in line] == [
        'asyncendpoints_workers{endpoint="reports",kind="wanted",namespace="demo"} 2.0'
    ]


def test_what_cannot_be_read_is_shown_by_namespace() -> None:
    figures = OperatorFigures(False, 0, 0, 0, None, 61.5, {"gone": 9})
    registry = CollectorRegistry()
    registry.register(OperatorCollector(lambda: figures))
    text = generate_latest(registry).decode()
    assert "Kinds that cannot be listed or watched" in text
    assert 'asyncendpoints_operator_unreadable_kinds{namespace="gone"} 9.0' in text
    assert "asyncendpoints_operator_api_silent_seconds 61.5" in text
