"""Requests to routes: paths, methods, headers, and the 202."""

import pytest

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import Priority
from support.http.fixtures import http_mode, site, store
from support.http.gateway import Site

__all__ = ["http_mode", "site", "store"]

FIELDS = [
    "id",
    "name",
    "state",
    "attempt",
    "maxAttempts",
    "crashes",
    "priority",
    "progress",
    "error",
    "attempts",
    "createdAt",
    "notBefore",
    "startedAt",
    "completedAt",
    "updatedAt",
    "expiresAt",
    "cancelRequestedAt",
    "tags",
    "key",
    "parent",
    "schedule",
    "links",
]


async def test_a_route_answers_202_with_the_job(site: Site) -> None:
    answer = await site.submit("/reports/7", {"a": 1})
    assert answer.status == 202
    assert answer.headers["Content-Type"] == "application/json"
    job = answer.json
    assert sorted(job) == sorted(FIELDS)
    here = f"/jobs/{job['id']}"
    assert answer.headers["Location"] == here
    assert answer.headers["Retry-After"] == "1"
    assert job["links"] == {
        "self": here,
        "result": f"{here}/result",
        "cancel": here,
        "retry": f"{here}/retry",
    }
    assert ids.parse(job["id"]) is not None
    expected = {
        "name": "build-report",
        "state": "Queued",
        "attempt": 0,
        "maxAttempts": 4,
        "crashes": 0,
        "priority": "normal",
        "attempts": [],
        "progress": None,
        "error": None,
        "notBefore": None,
        "startedAt": None,
        "completedAt": None,
        "cancelRequestedAt": None,
        "tags": [],
        "key": None,
        "parent": None,
        "schedule": None,
    }
    assert {name: job[name] for name in expected} == expected
    for name in ("createdAt", "updatedAt", "expiresAt"):
        assert len(job[name]) == len("2026-01-31T08:00:00.000Z")
        assert job[name].endswith("Z")


async def test_the_request_is_kept_whole(site: Site) -> None:
    body = b'{"b": 2}'
    await site.ask(
        "PATCH",
        "/things/x%2Fy/parts/%C3%A9?b=2&a=1&a=%20",
        data=body,
        headers=[
            ("Content-Type", "application/json; charset=utf-8"),
            ("X-Tenant", "not named by this route"),
            ("Authorization", "Bearer secret"),
            ("Cookie", "a=b"),
            ("X-Request-Id", "r1"),
            ("Accept", "text/plain"),
            ("Accept", "*/*;q=0.1"),
            ("User-Agent", "tést"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ("tracestate", "a=1"),
            ("Accept-Language", "de"),
        ],
    )
    request = (await site.claim()).request
    assert (request.method, request.path) == ("PATCH", "/things/x%2Fy/parts/%C3%A9")
    assert request.query == "b=2&a=1&a=%20"
    assert request.route_params == {"a": "x/y", "b": "é"}
    assert request.content_type == "application/json; charset=utf-8"
    assert request.body == body
    assert request.headers == {
        "x-request-id": "r1",
        "accept": "text/plain, */*;q=0.1",
        "user-agent": "tést",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "a=1",
        "accept-language": "de",
    }


async def test_an_invalid_trace_context_is_not_passed_on(site: Site) -> None:
    headers = {"traceparent": "00-0-0-00", "tracestate": "a=1", "X-Request-Id": "r"}
    assert (await site.ask("POST", "/reports/7", headers=headers)).status == 202
    kept = (await site.claim()).request.headers
    assert kept["x-request-id"] == "r"
    assert "traceparent" not in kept
    assert "tracestate" not in kept


async def test_a_named_header_is_kept_and_one_that_is_not_utf8_is_latin1(site: Site) -> None:
    await site.raw(
        b"POST /reports/7 HTTP/1.1\r\nHost: h\r\nX-Tenant: bl\xfce\r\nConnection: close\r\n\r\n"
    )
    claimed = await site.claim()
    assert claimed.request.headers == {"x-tenant": "blüe"}
    assert claimed.request.body == b""
    assert claimed.request.content_type == ""


async def test_a_literal_beats_a_parameter(site: Site) -> None:
    assert (await site.submit("/reports/latest")).json["name"] == "latest"
    assert (await site.submit("/reports/late%73t")).json["name"] == "latest"
    assert (await site.submit("/reports/other")).json["name"] == "build-report"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/nope",
        "/reports",
        "/reports/",
        "/reports/7/",
        "/reports//7",
        "//reports/7",
        "/reports/7/x",
        "/reports%2F7",
        "/Reports/7",
        "/jobs/",
        "/docs/",
        "/openapi.json/",
        "/livez",
        "/metrics",
    ],
)
async def test_other_paths_are_404_and_never_redirected(site: Site, path: str) -> None:
    (await site.ask("POST", path)).problem("not-found", 404)


@pytest.mark.parametrize("path", ["/reports/%ff", "/reports/%zz", "/reports/%", "/nope/%c3"])
async def test_a_path_that_is_not_utf8_is_400(site: Site, path: str) -> None:
    (await site.ask("POST", path)).problem("invalid-query", 400)


@pytest.mark.parametrize("query", ["%ff", "a=%c3", "%ed%a0%80=1"])
async def test_a_query_that_is_not_utf8_is_400(site: Site, query: str) -> None:
    (await site.ask("POST", f"/reports/7?{query}")).problem("invalid-query", 400)
    (await site.ask("GET", f"/jobs?{query}")).problem("invalid-query", 400)
    (await site.ask("GET", f"/docs?{query}")).problem("invalid-query", 400)


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/reports/7", "OPTIONS, POST"),
        ("/things/1/parts/2", "DELETE, OPTIONS, PATCH, PUT"),
        ("/jobs", "GET, HEAD, OPTIONS"),
        ("/jobs/x", "DELETE, GET, HEAD, OPTIONS"),
        ("/jobs/x/result", "GET, HEAD, OPTIONS"),
        ("/jobs/x/retry", "OPTIONS, POST"),
        ("/docs", "GET, HEAD, OPTIONS"),
        ("/openapi.json", "GET, HEAD, OPTIONS"),
    ],
)
async def test_a_wrong_method_is_405_and_options_lists_the_allowed(
    site: Site, path: str, allow: str
) -> None:
    wrong = "GET" if "GET" not in allow else "PUT"
    refused = await site.ask(wrong, path)
    refused.problem("method-not-allowed", 405)
    assert refused.headers["Allow"] == allow
    answer = await site.ask("OPTIONS", path)
    assert (answer.status, answer.body, answer.headers["Allow"]) == (204, b"", allow)
    assert not [name for name in answer.headers if name.startswith("Access-Control")]


async def test_options_of_an_unknown_path_is_404(site: Site) -> None:
    (await site.ask("OPTIONS", "/nope")).problem("not-found", 404)


async def test_priority_delay_and_expiry(site: Site) -> None:
    answer = await site.submit(Job_Priority="HIGH", Job_Expires="7.25")
    record = await site.record(answer.id)
    assert (record.priority, answer.json["priority"]) == (Priority.HIGH, "high")
    assert record.expires_at_ms == record.created_ms + 7_250
    delayed = await site.submit(Job_Delay="90.5", Job_Priority="low")
    job = delayed.json
    assert (job["state"], job["priority"]) == ("Scheduled", "low")
    record = await site.record(delayed.id)
    assert record.not_before_ms == record.created_ms + 90_500
    assert delayed.headers["Retry-After"] in {"90", "91"}
    assert (await site.submit(Job_Delay="0")).json["state"] == "Queued"
    # May be shorter than the delay: the job then fails before it is due.
    assert (await site.submit(Job_Delay="999999999.999", Job_Expires="1")).status == 202
    far = await site.submit(Job_Delay="999999999")
    assert far.headers["Retry-After"] == "3600"


BAD_SECONDS = [
    "",
    "-1",
    "+1",
    "1.",
    ".5",
    "1.0000",
    "1e3",
    "0x1",
    "1,5",
    "1234567890",
    "\u0661",
    "1 2",
]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("Job-Delay", value) for value in BAD_SECONDS),
        *(("Job-Expires", value) for value in (*BAD_SECONDS, "0", "0.000")),
        ("Job-Priority", ""),
        ("Job-Priority", "urgent"),
        ("Job-Priority", "high, low"),
        ("Job-Webhook", "https://receiver.example/jobs"),
        ("Job-Tags", ""),
        ("Job-Tags", "blue,"),
        ("Job-Tags", "blue green"),
        ("Job-Tags", "grün"),
        ("Job-Tags", "x" * 65),
        ("Job-Tags", ",".join(map(str, range(11)))),
        ("Idempotency-Key", ""),
        ("Idempotency-Key", '""'),
        ("Idempotency-Key", "x" * 256),
        ("Idempotency-Key", "schlüssel"),
        ("X-Async-Request-Id", "x" * 256),
    ],
)
async def test_an_invalid_option_header_is_400(site: Site, name: str, value: str) -> None:
    (await site.ask("POST", "/reports/7", headers={name: value})).problem("invalid-header", 400)


@pytest.mark.parametrize(
    ("headers", "tags"),
    [
        ([], []),
        ([("Job-Tags", "a,b")], ["a", "b"]),
        (
            [("Job-Tags", " order:17 ,team=b,v1.2/x_y-z,team=b")],
            ["order:17", "team=b", "v1.2/x_y-z"],
        ),
        ([("Job-Tags", "a"), ("Job-Tags", "b, " + "x" * 64)], ["a", "b", "x" * 64]),
    ],
)
async def test_tags_are_shown_with_the_job(
    site: Site, headers: list[tuple[str, str]], tags: list[str]
) -> None:
    answer = await site.ask("POST", "/reports/7", headers=headers)
    assert answer.status == 202
    assert answer.json["tags"] == tags
    assert (answer.json["key"], answer.json["parent"], answer.json["schedule"]) == (None,) * 3
    assert (await site.ask("GET", answer.headers["Location"])).json["tags"] == tags


@pytest.mark.parametrize("name", ["Job-Delay", "Job-Priority", "Idempotency-Key"])
async def test_a_repeated_option_header_is_400(site: Site, name: str) -> None:
    value = "high" if name == "Job-Priority" else "1"
    answer = await site.ask("POST", "/reports/7", headers=[(name, value), (name, value)])
    answer.problem("invalid-header", 400)


@pytest.mark.parametrize(
    "headers",
    [
        {"Prefer": "wait"},
        {"Prefer": "wait=x, respond-async"},
        {"Prefer": ";;,,=,wait=-1"},
        {"Accept": ";q=;;,text/event-stream;q=x"},
        {"Accept": "q"},
        {"If-None-Match": '"'},
        {"Last-Event-ID": "ÿ"},
        {"traceparent": "nonsense"},
    ],
)
async def test_preference_headers_are_never_an_error(site: Site, headers: dict[str, str]) -> None:
    answer = await site.ask("POST", "/reports/7", headers=headers)
    assert answer.status == 202
    path = answer.headers["Location"]
    assert (await site.ask("GET", path, headers=headers)).status == 200
    assert (await site.ask("GET", f"{path}/result", headers=headers)).status == 202
