"""Requests to routes: what is accepted, what is refused, and the responses."""

import asyncio
import gzip
import json
import zlib
from typing import Any

import pytest

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import Priority
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.protocol import Store
from support.http.fixtures import http_mode, site, store
from support.http.gateway import JSON, Answer, Site, endpoint, serving

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
        ("Idempotency-Key", ""),
        ("Idempotency-Key", '""'),
        ("Idempotency-Key", "x" * 256),
        ("Idempotency-Key", "schlüssel"),
        ("X-Async-Request-Id", "x" * 256),
    ],
)
async def test_an_invalid_option_header_is_400(site: Site, name: str, value: str) -> None:
    (await site.ask("POST", "/reports/7", headers={name: value})).problem("invalid-header", 400)


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


# Bodies


async def test_a_body_that_fits_the_schema(site: Site) -> None:
    for content_type in ("application/json", "application/vnd.x+json; v=1", "APPLICATION/JSON"):
        answer = await site.ask(
            "POST", "/checked", data=b'{"a": 1}', headers={"Content-Type": content_type}
        )
        assert answer.status == 202, content_type


async def test_a_schema_violation_names_the_pointer_and_never_the_value(site: Site) -> None:
    problem = (await site.submit("/checked", {"a": "secret"})).problem("invalid-body", 422)
    assert problem["errors"] == [{"pointer": "#/a", "detail": "must be of type integer"}]
    problem = (await site.submit("/checked", {})).problem("invalid-body", 422)
    assert problem["errors"] == [{"pointer": "#", "detail": 'must have property "a"'}]


async def test_a_schema_takes_json_only(site: Site) -> None:
    for headers in ({"Content-Type": "text/plain"}, {"Content-Type": "application/jsonx"}):
        answer = await site.ask("POST", "/checked", data=b'{"a":1}', headers=headers)
        answer.problem("unsupported-media-type", 415)
    raw = await site.raw(
        b"POST /checked HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\nConnection: close\r\n\r\n"
        b'{"a":1}'
    )
    assert raw.startswith(b"HTTP/1.1 415 ")
    assert b"requires Content-Type: application/json" in raw


MALFORMED = [
    b"{",
    b"{} {}",
    b'{"a": NaN}',
    b'{"a": Infinity}',
    b'{"a": "\\ud800"}',
    b'{"a": "\xff"}',
    b"\xef\xbb\xbf{}",
    b"[" * 101 + b"]" * 101,
    b"[" * 100_000,
    b'{"a": 1e999}',
]


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
@pytest.mark.parametrize("path", ["/checked", "/reports/7"])
async def test_invalid_json_is_400(site: Site, path: str, body: bytes) -> None:
    (await site.ask("POST", path, data=body, headers=JSON)).problem("malformed-body", 400)


async def test_an_empty_body_is_refused_only_with_a_schema(site: Site) -> None:
    (await site.ask("POST", "/checked", headers=JSON)).problem("malformed-body", 400)
    assert (await site.ask("POST", "/reports/7", headers=JSON)).status == 202


async def test_without_a_schema_any_body_is_accepted_unchanged(site: Site) -> None:
    body = bytes(range(256))
    await site.ask("POST", "/reports/7", data=body, headers={"Content-Type": "image/x"})
    assert (await site.claim()).request.body == body


def _compressed(coding: str, data: bytes) -> bytes:
    if coding in {"gzip", "x-gzip", "GZIP"}:
        return gzip.compress(data)
    if coding == "bare":
        compressor = zlib.compressobj(wbits=-15)
        return compressor.compress(data) + compressor.flush()
    return zlib.compress(data)


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP", "deflate", "bare"])
async def test_gzip_and_deflate_are_decoded(site: Site, coding: str) -> None:
    body = json.dumps({"a": 1, "b": "x" * 5_000}).encode()
    headers = {**JSON, "Content-Encoding": "deflate" if coding == "bare" else coding}
    answer = await site.ask("POST", "/checked", data=_compressed(coding, body), headers=headers)
    assert answer.status == 202
    assert (await site.claim()).request.body == body


async def test_gzip_of_several_members_and_in_chunks(site: Site) -> None:
    whole = gzip.compress(b'{"a":') + gzip.compress(b"1}")

    async def chunks() -> Any:
        for index in range(0, len(whole), 3):
            yield whole[index : index + 3]

    answer = await site.ask(
        "POST", "/checked", data=chunks(), headers={**JSON, "Content-Encoding": "gzip"}
    )
    assert answer.status == 202
    assert (await site.claim()).request.body == b'{"a":1}'


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "x", "gzip;q=1"])
async def test_other_encodings_are_415(site: Site, coding: str) -> None:
    answer = await site.ask("POST", "/reports/7", data=b"x", headers={"Content-Encoding": coding})
    answer.problem("unsupported-media-type", 415)
    assert answer.headers["Accept-Encoding"] == "gzip, deflate"


async def test_identity_is_not_an_encoding(site: Site) -> None:
    headers = {**JSON, "Content-Encoding": "identity"}
    assert (await site.ask("POST", "/checked", data=b'{"a":1}', headers=headers)).status == 202


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", b"not gzip"),
        ("gzip", gzip.compress(b"x" * 1_000)[:-9]),
        ("gzip", gzip.compress(b"x") + b"tail"),
        ("deflate", b"\x78\x9cnonsense"),
        ("deflate", zlib.compress(b"x") + b"tail"),
    ],
)
async def test_a_broken_encoding_is_400(site: Site, coding: str, body: bytes) -> None:
    answer = await site.ask("POST", "/reports/7", data=body, headers={"Content-Encoding": coding})
    answer.problem("malformed-body", 400)


async def test_the_limit_is_on_decoded_bytes(store: Store) -> None:
    described = endpoint(gateway={"maxBodyBytes": 1_000})
    async with serving(store, described) as site:

        async def send(data: Any, **headers: str) -> Answer:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await site.ask("POST", "/reports/7", data=data, headers=named)

        assert (await send(b"x" * 1_000)).status == 202
        (await send(b"x" * 1_001)).problem("body-too-large", 413)
        for coding in ("gzip", "deflate"):
            fits = _compressed(coding, b"x" * 1_000)
            assert (await send(fits, Content_Encoding=coding)).status == 202
            bomb = _compressed(coding, b"x" * 50_000_000)
            (await send(bomb, Content_Encoding=coding)).problem("body-too-large", 413)

        async def chunked() -> Any:
            for _ in range(11):
                yield b"x" * 100

        (await send(chunked())).problem("body-too-large", 413)


async def test_a_body_that_is_announced_too_large_is_refused_unread(site: Site) -> None:
    raw = await site.raw(
        b"POST /reports/7 HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n"
    )
    assert raw.startswith(b"HTTP/1.1 413 ")
    assert b"problem:body-too-large" in raw


async def test_expect_100_continue(site: Site) -> None:
    head = b"POST /reports/7 HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nConnection: close\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(head + b"Content-Length: 2\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"ab")
    assert (await reader.read()).startswith(b"HTTP/1.1 202 ")
    writer.close()
    refused = await site.raw(head + b"Content-Length: 999999999\r\n\r\n")
    assert refused.startswith(b"HTTP/1.1 413 ")


# Idempotency


async def test_the_same_key_returns_the_same_job_in_its_present_state(site: Site) -> None:
    first = await site.submit(body={"a": 1}, Idempotency_Key="K 1")
    assert "Idempotent-Replayed" not in first.headers
    for name, key in (
        ("Idempotency-Key", "K 1"),
        ("Idempotency-Key", '"K 1"'),
        ("X-Async-Request-Id", "K 1"),
    ):
        again = await site.submit(body={"a": 1}, **{name: key})
        assert (again.status, again.id) == (202, first.id)
        assert again.headers["Idempotent-Replayed"] == "true"
    await site.complete(await site.claim())
    again = await site.submit(body={"a": 1}, Idempotency_Key="K 1")
    assert (again.status, again.json["state"]) == (202, "Completed")
    assert again.headers["Location"] == first.headers["Location"]
    stats = await site.store.stats()
    assert stats.totals["created"] == 1


async def test_the_same_key_for_another_request_is_422(site: Site) -> None:
    sent: dict[str, Any] = {"data": b"{}", "headers": {**JSON, "Idempotency-Key": "K"}}
    assert (await site.ask("POST", "/reports/7?a=1", **sent)).status == 202
    others = [
        ("/reports/7?a=2", sent),
        ("/reports/8?a=1", sent),
        ("/reports/7", sent),
        ("/reports/7?a=1", {**sent, "data": b"[]"}),
        (
            "/reports/7?a=1",
            {**sent, "headers": {"Idempotency-Key": "K", "Content-Type": "application/x+json"}},
        ),
        ("/checked", {**sent, "data": b'{"a":1}'}),
    ]
    for path, changed in others:
        (await site.ask("POST", path, **changed)).problem("idempotency-mismatch", 422)
    answer = await site.ask("PUT", "/things/1/parts/2", **sent)
    answer.problem("idempotency-mismatch", 422)


async def test_many_at_once_with_one_key_make_one_job(site: Site) -> None:
    answers = await asyncio.gather(*(site.submit(Idempotency_Key="K") for _ in range(50)))
    assert {answer.status for answer in answers} == {202}
    assert len({answer.id for answer in answers}) == 1
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 49


async def test_a_refused_request_binds_no_key(store: Store) -> None:
    async with serving(store, endpoint(queue={"maxDepth": 1})) as site:
        first = await site.accepted()
        full = await site.submit(Idempotency_Key="K")
        full.problem("queue-full", 429)
        (await site.submit("/checked", {}, Idempotency_Key="K")).problem("invalid-body", 422)
        await site.complete(await site.claim())
        again = await site.submit(body="different", Idempotency_Key="K")
        assert again.status == 202
        assert again.id != first
        assert "Idempotent-Replayed" not in again.headers
        # Decided before the depth: a replay is answered although the queue is full.
        assert (await site.submit(body="different", Idempotency_Key="K")).status == 202


# Queue


async def test_a_full_queue_is_429_decided_atomically(store: Store) -> None:
    async with serving(store, endpoint(queue={"maxDepth": 10})) as site:
        answers = await asyncio.gather(*(site.submit() for _ in range(40)))
        assert sorted(answer.status for answer in answers) == [202] * 10 + [429] * 30
        for answer in answers:
            if answer.status == 429:
                problem = answer.problem("queue-full", 429)
                seconds = int(answer.headers["Retry-After"])
                assert 1 <= seconds <= 3_600
                assert problem["detail"] == (
                    f"queue limit reached (10 jobs or 1073741824 bytes); retry after {seconds} s"
                )


async def test_scheduled_jobs_count_and_running_ones_do_not(store: Store) -> None:
    async with serving(store, endpoint(queue={"maxDepth": 1})) as site:
        await site.accepted(Job_Delay="100")
        (await site.submit()).problem("queue-full", 429)
    await store.cancel([job.id for job in (await store.list(State.SCHEDULED, 1, None)).jobs])
    async with serving(store, endpoint(queue={"maxDepth": 1})) as site:
        await site.accepted()
        await site.claim()
        await site.accepted()


async def test_concurrent_submissions_share_calls_to_the_store(site: Site) -> None:
    calls = []
    enqueue = site.store.enqueue

    async def counted(jobs: Any) -> Any:
        calls.append(len(jobs))
        return await enqueue(jobs)

    site.server.gateway.enqueue._call = counted
    answers = await asyncio.gather(*(site.submit(body=n) for n in range(100)))
    assert len({answer.id for answer in answers}) == 100
    assert sum(calls) == 100
    assert len(calls) < 60


async def test_an_endpoint_being_deleted_is_503(site: Site) -> None:
    await site.store.close_queue()
    answer = await site.submit()
    answer.problem("store-unavailable", 503)
    assert int(answer.headers["Retry-After"]) >= 1


async def test_the_base_path_prefixes_every_link(store: Store) -> None:
    async with serving(store, endpoint(gateway={"basePath": "/api/v1"})) as site:
        answer = await site.ask(
            "POST",
            "/reports/7",
            headers={"X-Forwarded-Prefix": "/evil", "X-Forwarded-Host": "evil", "Host": "evil"},
        )
        assert answer.headers["Location"] == f"/api/v1/jobs/{answer.json['id']}"
        assert answer.json["links"]["self"] == answer.headers["Location"]
        assert (await site.ask("GET", "/openapi.json")).json["servers"] == [{"url": "/api/v1"}]
