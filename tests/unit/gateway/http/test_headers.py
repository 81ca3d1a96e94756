"""The parsers of request headers."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints_core.jobs.records import Priority
from asyncendpoints_gateway.config import GatewayConfig
from asyncendpoints_gateway.http.headers import (
    KEPT,
    idempotency_key,
    matches_etag,
    prefer_wait,
    priority,
    revisions,
    seconds_ms,
    wants_events,
)
from asyncendpoints_gateway.http.problems import Problem
from support.store.work import endpoint


@pytest.mark.parametrize(
    ("text", "ms"),
    [("0", 0), ("1", 1_000), ("0.5", 500), ("1.25", 1_250), ("0.001", 1), ("007.10", 7_100)],
)
def test_seconds(text: str, ms: int) -> None:
    assert seconds_ms("Job-Delay", text, positive=False) == ms


def test_the_most_seconds() -> None:
    assert seconds_ms("Job-Delay", "999999999.999", positive=True) == 999_999_999_999


@given(st.text(max_size=12))
def test_seconds_are_digits_or_refused(text: str) -> None:
    try:
        ms = seconds_ms("Job-Delay", text, positive=False)
    except Problem:
        assert not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,3})?", text)
    else:
        assert text.isascii()
        assert ms == round(float(text) * 1_000)


def test_zero_where_more_is_needed() -> None:
    for text in ("0", "0.0", "000.000"):
        with pytest.raises(Problem):
            seconds_ms("Job-Expires", text, positive=True)


def test_priorities_in_any_case() -> None:
    assert [priority(text) for text in ("HIGH", "Normal", "low")] == list(Priority)
    for text in ("", "0", "urgent", "high "):
        with pytest.raises(Problem):
            priority(text)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("K", "K"),
        ('"K"', "K"),
        ('"', '"'),
        ('"a', '"a'),
        ('"a \\"b\\" \\\\"', 'a "b" \\'),
        ("a b", "a b"),
        ("x" * 255, "x" * 255),
        ('"' + "x" * 255 + '"', "x" * 255),
    ],
)
def test_idempotency_keys(text: str, key: str) -> None:
    assert idempotency_key(text) == key


@pytest.mark.parametrize("text", ["", '""', "x" * 256, "ä", "a\tb", "a\x7f", '"' + "x" * 256 + '"'])
def test_bad_idempotency_keys(text: str) -> None:
    with pytest.raises(Problem):
        idempotency_key(text)


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("wait=5", 5),
        ("WAIT=5", 5),
        ('wait="5"', 5),
        ("wait = 5", 5),
        ("wait=5;foo=bar", 5),
        ("respond-async, wait=7", 7),
        ("wait=x, wait=3", 3),
        ("wait=0", 0),
        ("wait=60", 60),
        ("wait=61", 60),
        ("wait=999999999", 60),
        ("wait", None),
        ("wait=", None),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait=9999999999", None),
        ("wait=\u0665", None),
        ("await=5", None),
        ("", None),
    ],
)
def test_prefer_wait(value: str, wait: int | None) -> None:
    assert prefer_wait(value) == wait


@given(st.text())
def test_preferences_never_fail(value: str) -> None:
    assert prefer_wait(value) in {None, *range(61)}
    assert wants_events(value) in {True, False}
    assert matches_etag([value], "7") in {True, False}


@pytest.mark.parametrize(
    ("accept", "events"),
    [
        ("text/event-stream", True),
        ("text/event-stream;q=0.9, */*;q=0.8", True),
        ("text/event-stream;q=0.8, */*;q=0.9", False),
        ("text/event-stream, text/*;q=0.1, application/json;q=0.9", True),
        ("text/event-stream; charset=utf-8", True),
        ("text/event-stream;q=0.000", False),
        ("text/event-stream;q=1.5", False),
        ("text/event-stream;q=", False),
        ("application/json, text/event-stream", False),
        ("application/*, text/event-stream", True),
        ("text/*", False),
    ],
)
def test_who_prefers_a_stream(accept: str, events: bool) -> None:
    assert wants_events(accept) is events


@pytest.mark.parametrize(
    ("values", "matches"),
    [
        (['"7"'], True),
        (['W/"7"'], True),
        (['"6"', '"7"'], True),
        (['"6" , "7"'], True),
        (["*"], True),
        (["7"], False),
        (['"77"'], False),
        (['"6"'], False),
        ([], False),
    ],
)
def test_if_none_match(values: list[str], matches: bool) -> None:
    assert matches_etag(values, "7") is matches


def test_headers_that_say_something_of_a_job_are_never_kept() -> None:
    listed = ["X-Tenant", "job-callback", "Job-Callback-Token", "JOB-ID"]
    config = GatewayConfig.of(endpoint(routes=[{"path": "/work", "job": "a", "headers": listed}]))
    assert config.routes[0].keep == KEPT | {"x-tenant"}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ([], None),
        (["*"], None),
        (['"7"'], {7}),
        (['"6"', '"7", "8"'], {6, 7, 8}),
        (['W/"7"'], set()),  # the comparison is strong
        (['W/"7", "8"'], {8}),
        (["7"], set()),
        ([""], set()),
        (['"07"', '"x"', '"-7"', '"7\u0661"', f'"{10**16}"'], set()),
    ],
)
def test_if_match(values: list[str], named: set[int] | None) -> None:
    assert revisions(values) == named
