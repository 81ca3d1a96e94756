"""The gateway's pure parts: estimates, JSON of a job, OpenAPI, queries, bodies, metrics, waits."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator
from prometheus_client.exposition import generate_latest

from asyncendpoints_core.common.time_source import rfc3339
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import Attempt, Job, JobError, Priority, Progress, Request
from asyncendpoints_core.jobs.states import State
from asyncendpoints_gateway.config import GatewayConfig
from asyncendpoints_gateway.http import queries
from asyncendpoints_gateway.http.bodies import is_json
from asyncendpoints_gateway.http.problems import TABLE, Problem
from asyncendpoints_gateway.intake.retry_after import (
    Reading,
    WaitEstimate,
    retry_after,
    whole_seconds,
)
from asyncendpoints_gateway.metrics import Metrics
from asyncendpoints_gateway.openapi.document import document, hoist
from asyncendpoints_gateway.views import job_view
from asyncendpoints_gateway.views.submit import fingerprint
from support.http.gateway import endpoint

NOW = 1_790_000_000_000


def _job(**changes: Any) -> Job:
    values: dict[str, Any] = {
        "id": ids.new(NOW),
        "name": "build",
        "state": State.QUEUED,
        "priority": Priority.NORMAL,
        "attempt": 0,
        "max_attempts": 4,
        "crashes": 0,
        "releases": 0,
        "claim": 0,
        "worker": "",
        "revision": 1,
        "created_ms": NOW,
        "updated_ms": NOW,
    }
    return Job(**{**values, **changes})


# Retry-After


def _readings(*rows: tuple[int, int, int, int, int]) -> WaitEstimate:
    """Feed (second, ready, claimed, ended, busy seconds)."""
    estimate = WaitEstimate()
    for second, ready, claimed, ended, busy in rows:
        estimate.add(Reading(NOW + second * 1_000, ready, claimed, 0, ended, busy * 1_000))
    return estimate


def test_without_samples_it_is_1() -> None:
    estimate = WaitEstimate()
    assert retry_after(estimate, _job(), 10_000, NOW) == 1
    assert retry_after(estimate, _job(state=State.IN_PROGRESS, started_ms=NOW), 0, NOW) == 1


def test_position_over_drain_rate_plus_one_run() -> None:
    estimate = _readings((0, 100, 0, 0, 0), (10, 80, 20, 20, 60))
    assert estimate.per_second == 2
    assert estimate.run_seconds == 3
    assert retry_after(estimate, _job(), 0, NOW) == 4  # half a second, then a run
    assert retry_after(estimate, _job(), 99, NOW) == 53
    assert retry_after(estimate, _job(), 1_000_000, NOW) == 3_600


def test_time_without_queued_jobs_does_not_count_for_the_rate() -> None:
    estimate = _readings((0, 0, 0, 0, 0), (30, 0, 5, 5, 5), (31, 10, 5, 5, 5), (32, 0, 15, 15, 15))
    assert estimate.per_second == 5


def test_returned_jobs_do_not_count_as_having_left() -> None:
    estimate = WaitEstimate()
    estimate.add(Reading(NOW, 10, 0, 0, 0, 0))
    estimate.add(Reading(NOW + 1_000, 10, 5, 5, 0, 0))
    assert estimate.per_second is None


def test_a_queue_that_is_stuck_is_assumed_to_stay_so_as_long_again() -> None:
    estimate = _readings((0, 5, 0, 0, 0), (1, 5, 0, 0, 0), (40, 5, 0, 0, 0))
    assert retry_after(estimate, _job(), 0, NOW) == 40
    estimate.add(Reading(NOW + 41_000, 4, 1, 0, 0, 0))
    assert retry_after(estimate, _job(), 0, NOW) < 60


def test_old_readings_are_dropped_and_a_replaced_store_starts_again() -> None:
    estimate = _readings((0, 9, 0, 0, 0), (1, 9, 1_000, 1_000, 1), (100, 9, 1_010, 1_010, 1))
    assert estimate.per_second is None
    estimate = _readings((0, 9, 50, 50, 0), (1, 9, 60, 60, 1), (2, 9, 1, 1, 0))
    assert estimate.per_second is None
    estimate = _readings((1, 9, 0, 0, 0), (0, 9, 50, 50, 0))
    assert estimate.per_second is None


def test_the_retry_after_of_a_scheduled_job_is_when_it_is_due() -> None:
    job = _job(state=State.SCHEDULED, not_before_ms=NOW + 7_001)
    assert retry_after(WaitEstimate(), job, 0, NOW) == 8
    assert retry_after(WaitEstimate(), job, 0, NOW + 60_000) == 1


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_whole_seconds_from_1_to_3600(seconds: float) -> None:
    assert 1 <= whole_seconds(seconds) <= 3_600


# The JSON of a job


@given(st.integers(min_value=1, max_value=4_102_444_800_000))
def test_timestamps_are_rfc3339(ms: int) -> None:
    assert job_view.timestamp(ms) == rfc3339(ms)


def test_an_unset_time_is_null() -> None:
    assert job_view.timestamp(0) is None


@given(
    st.builds(
        _job,
        name=st.text(min_size=1, max_size=20),
        state=st.sampled_from([State.QUEUED, State.SCHEDULED]),
        priority=st.sampled_from(Priority),
        max_attempts=st.integers(1, 100),
        not_before_ms=st.sampled_from([0, NOW + 5]),
        expires_at_ms=st.sampled_from([0, NOW + 86_400_000]),
        updated_ms=st.sampled_from([NOW, NOW + 1]),
    ),
    st.sampled_from(["", "/api/v1"]),
)
def test_the_json_of_a_new_job(job: Job, base: str) -> None:
    here = f"{base}/jobs/{ids.text(job.id)}"
    assert json.loads(job_view.encode_job(job, here)) == {
        "id": ids.text(job.id),
        "name": job.name,
        "state": job.state.value,
        "attempt": 0,
        "maxAttempts": job.max_attempts,
        "crashes": 0,
        "priority": job.priority.name.lower(),
        "progress": None,
        "error": None,
        "attempts": [],
        "createdAt": rfc3339(NOW),
        "notBefore": rfc3339(job.not_before_ms) if job.not_before_ms else None,
        "startedAt": None,
        "completedAt": None,
        "updatedAt": rfc3339(job.updated_ms),
        "expiresAt": rfc3339(job.expires_at_ms) if job.expires_at_ms else None,
        "cancelRequestedAt": None,
        "links": {
            "self": here,
            "result": f"{here}/result",
            "cancel": here,
            "retry": f"{here}/retry",
        },
    }


def test_a_job_with_everything() -> None:
    error = JobError("handler-error", 'a "quoted" message', retryable=True)
    job = _job(
        state=State.SCHEDULED,
        attempt=2,
        revision=9,
        progress=Progress(0.5, "half"),
        error=error,
        attempts=(Attempt(1, NOW, NOW + 1, "retry", error),),
        started_ms=NOW,
        completed_ms=NOW + 2,
        cancel_requested_ms=NOW + 3,
    )
    shown = json.loads(job_view.encode_job(job, f"/x/jobs/{ids.text(job.id)}"))
    assert shown["progress"] == {"fraction": 0.5, "message": "half"}
    assert shown["attempts"] == [
        {
            "number": 1,
            "startedAt": rfc3339(NOW),
            "endedAt": rfc3339(NOW + 1),
            "outcome": "retry",
            "error": shown["error"],
        }
    ]
    assert shown["links"]["retry"] == f"/x/jobs/{ids.text(job.id)}/retry"
    assert shown["cancelRequestedAt"] == rfc3339(NOW + 3)


# Problems


def test_the_table_of_problems_is_the_contracts() -> None:
    assert {name: kind.status for name, kind in TABLE.items()} == {
        "malformed-body": 400,
        "invalid-header": 400,
        "invalid-query": 400,
        "unauthorized": 401,
        "forbidden": 403,
        "not-found": 404,
        "job-not-found": 404,
        "method-not-allowed": 405,
        "job-failed": 409,
        "job-canceled": 409,
        "job-final": 409,
        "not-retryable": 409,
        "job-gone": 410,
        "body-too-large": 413,
        "uri-too-long": 414,
        "unsupported-media-type": 415,
        "invalid-body": 422,
        "idempotency-mismatch": 422,
        "queue-full": 429,
        "headers-too-large": 431,
        "internal": 500,
        "store-unavailable": 503,
    }


# Queries and bodies


@given(st.text(max_size=60))
def test_a_query_is_read_or_refused(raw: str) -> None:
    for read in (queries.parse, queries.check_utf8):
        with suppress(Problem):
            read(raw)


def test_a_query_is_decoded() -> None:
    assert queries.parse("state=Que%75ed&x=a+b&y&x=2") == {"state": "Queued", "x": "2", "y": ""}
    assert queries.wait_seconds({"wait": "99999"}) == 60
    assert queries.wait_seconds({"wait": "0.5"}) == 0.5
    assert queries.listing({}) == (None, 50, None)
    assert queries.listing({"state": "Failed", "limit": "007", "cursor": "a-_Z"}) == (
        State.FAILED,
        7,
        "a-_Z",
    )


@pytest.mark.parametrize(
    ("content_type", "json_"),
    [
        ("application/json", True),
        ("Application/JSON ; charset=utf-8", True),
        ("application/problem+json", True),
        ("text/x+json", True),
        ("application/json-seq", False),
        ("+json", False),
        ("/+json", False),
        ("text/plain", False),
        ("", False),
    ],
)
def test_what_is_json(content_type: str, json_: bool) -> None:
    assert is_json(content_type) is json_


def test_a_fingerprint_tells_apart_whatever_differs() -> None:
    requests = [
        Request("POST", "/a", "b", {}, {}, "c", b"d"),
        Request("PUT", "/a", "b", {}, {}, "c", b"d"),
        Request("POST", "/ab", "", {}, {}, "c", b"d"),
        Request("POST", "/a", "bc", {}, {}, "", b"d"),
        Request("POST", "/a", "b", {}, {}, "cd", b""),
        Request("POST", "/a", "b", {}, {}, "c", b"e"),
    ]
    prints = {fingerprint(request) for request in requests}
    assert len(prints) == len(requests)
    assert {len(each) for each in prints} == {16}
    other = Request("POST", "/a", "b", {"x": "1"}, {"accept": "*/*"}, "c", b"d")
    assert fingerprint(other) == fingerprint(requests[0])


# OpenAPI


def test_definitions_become_components() -> None:
    schemas: dict[str, Any] = {"job.body.A": {}}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "properties": {
            "$ref": {"$ref": "#/$defs/A"},
            "self": {"$ref": "#"},
            "deep": {"$ref": "#/$defs/A/properties/x"},
            "here": {"$ref": "#/properties/self"},
            "data": {"const": {"$ref": "#/$defs/A"}},
        },
        "$defs": {
            "A": {"properties": {"x": {"$ref": "#/$defs/b~1 c"}}},
            "b/ c": {"type": "string"},
        },
    }
    reference = hoist(schema, "job.body", schemas)
    assert reference == {"$ref": "#/components/schemas/job.body"}
    moved = schemas["job.body"]["properties"]
    assert moved["$ref"] == {"$ref": "#/components/schemas/job.body.A_2"}
    assert moved["self"] == {"$ref": "#/components/schemas/job.body"}
    assert moved["deep"] == {"$ref": "#/components/schemas/job.body.A_2/properties/x"}
    assert moved["here"] == {"$ref": "#/components/schemas/job.body/properties/self"}
    assert moved["data"] == {"const": {"$ref": "#/$defs/A"}}
    assert schemas["job.body.A_2"]["properties"]["x"] == {
        "$ref": "#/components/schemas/job.body.b_c"
    }
    assert "$schema" not in schemas["job.body"]
    assert "$defs" in schema  # the route's own is left as it was


def test_every_endpoint_has_a_valid_description() -> None:
    recursive = {"$ref": "#/$defs/Node", "$defs": {"Node": {"items": {"$ref": "#/$defs/Node"}}}}
    with_id = {
        "$id": "urn:x",
        "anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "urn:x#/$defs/A"}],
        "$defs": {"A": {"type": "string"}},
    }
    routes = [
        {"path": "/a", "job": "same", "schema": recursive},
        {"path": "/b", "job": "same", "methods": ["POST", "PUT"], "schema": with_id},
        {"path": "/c/{x}", "job": "same", "headers": ["X-Tenant", "Authorization"]},
    ]
    described = document(GatewayConfig.of(endpoint(routes=routes)), guarded=True)
    OpenAPIV31SpecValidator(described).validate()
    operations = [
        operation["operationId"]
        for item in described["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict)
    ]
    assert len(operations) == len(set(operations))
    assert described["security"] == [{"bearer": []}]


# Metrics


def test_each_application_has_metrics_of_its_own() -> None:
    one, two = Metrics(lambda: 3), Metrics(lambda: 0)
    one.submission("a", "created")
    one.request("submit", 202, 0.004)
    text = generate_latest(one.registry).decode()
    assert 'asyncendpoints_submissions_total{job="a",outcome="created"} 1.0' in text
    assert "asyncendpoints_http_waiters 3.0" in text
    assert 'le="0.005",operation="submit",status="202"} 1.0' in text
    assert 'outcome="created"' not in generate_latest(two.registry).decode()
