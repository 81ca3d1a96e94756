"""Access: bearer tokens, CORS, and what the docs page may load."""

import re
from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from asyncendpoints_core.common.time_source import SystemTime
from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.protocol import Store
from asyncendpoints_gateway.http.auth import guard_of
from support.http.fixtures import http_mode, site, store
from support.http.gateway import SCHEMA, Site, endpoint, serving

__all__ = ["http_mode", "site", "store"]


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text("# two of them\nfirst\n\n  second  \n")
    return path


async def test_bearer_tokens_guard_everything(tokens: Path) -> None:
    async with serving(MemoryStore(), auth_tokens_file=tokens) as site:
        for method, path in (
            ("POST", "/reports/7"),
            ("GET", "/jobs"),
            ("GET", "/jobs/x"),
            ("POST", "/docs"),
            ("GET", "/docs/"),
            ("GET", "/openapi.json"),
            ("GET", "/nope"),
            ("OPTIONS", "/jobs"),
        ):
            refused = await site.ask(method, path)
            refused.problem("unauthorized", 401)
            assert refused.headers["WWW-Authenticate"] == "Bearer"
        for value in ("Bearer first", "bearer second", "BEARER  first"):
            answer = await site.ask("GET", "/jobs", headers={"Authorization": value})
            assert answer.status == 200
        for value in ("Bearer", "Bearer ", "Bearer third", "Bearer firs", "Basic first", "é"):
            refused = await site.ask("GET", "/jobs", headers={"Authorization": value})
            refused.problem("unauthorized", 401)
            assert refused.headers["WWW-Authenticate"].startswith("Bearer")


async def test_the_docs_page_is_open_and_holds_nothing_of_the_endpoint(tokens: Path) -> None:
    async with serving(MemoryStore(), auth_tokens_file=tokens) as site:
        page = await site.ask("GET", "/docs")
        assert page.status == 200
        assert (await site.ask("HEAD", "/docs")).status == 200
        for route in site.server.gateway.config.routes:
            assert route.path.encode() not in page.body


async def test_changed_tokens_are_reloaded(tokens: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncendpoints_gateway.http.auth.CHECK_SECONDS", 0.0)
    async with serving(MemoryStore(), auth_tokens_file=tokens) as site:

        async def status(token: str) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return (await site.ask("GET", "/jobs", headers=headers)).status

        assert await status("first") == 200
        fresh = tokens.with_name("fresh")
        fresh.write_text("third\n")
        fresh.replace(tokens)
        assert (await status("first"), await status("third")) == (401, 200)
        tokens.write_text("")  # being written: the previous tokens stay valid
        assert await status("third") == 200
        tokens.unlink()
        assert await status("third") == 200


async def test_tokens_of_the_resource(tokens: Path) -> None:
    auth = {"tokens": {"file": tokens.name}}
    guard = guard_of(endpoint(gateway={"auth": auth}), SystemTime(), folder=tokens.parent)
    assert guard is not None
    guard.check("Bearer first")
    missing = endpoint(gateway={"auth": {"tokens": {"file": "missing"}}})
    with pytest.raises(UsageError, match="no bearer tokens"):
        guard_of(missing, SystemTime(), folder=tokens.parent)
    secret = {"tokens": {"secretRef": {"name": "tokens", "key": "tokens"}}}
    with pytest.raises(UsageError, match="ASYNCENDPOINTS_AUTH_TOKENS_FILE"):
        guard_of(endpoint(gateway={"auth": secret}), SystemTime())
    assert guard_of(endpoint(gateway={"auth": secret}), SystemTime(), tokens) is not None


async def test_listening_on_every_interface_without_tokens_is_logged(
    caplog: pytest.LogCaptureFixture, tokens: Path
) -> None:
    async with serving(MemoryStore()):
        assert "without gateway.auth" not in caplog.text
    async with serving(MemoryStore(), http_host="0.0.0.0", auth_tokens_file=tokens):
        assert "without gateway.auth" not in caplog.text
    async with serving(MemoryStore(), http_host="0.0.0.0"):
        assert "without gateway.auth" in caplog.text


EXPOSED = (
    "Location, Retry-After, ETag, Preference-Applied, Idempotent-Replayed, Job-Existing, "
    "Job-Webhook, Content-Disposition, WWW-Authenticate"
)
PAGE = {"Origin": "https://app.example.com"}


async def test_no_cors_by_default(site: Site) -> None:
    for headers in (PAGE, {**PAGE, "Access-Control-Request-Method": "POST"}):
        answer = await site.ask("OPTIONS", "/reports/7", headers=headers)
        assert (answer.status, answer.headers["Allow"]) == (204, "OPTIONS, POST")
        assert not [name for name in answer.headers if name.startswith("Access-Control")]


async def test_an_allowed_origin(store: Store) -> None:
    cors = {"allowOrigins": ["https://app.example.com", "https://b.example.com"]}
    async with serving(store, endpoint(gateway={"cors": cors})) as site:
        answer = await site.ask("POST", "/reports/7", headers=PAGE)
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE["Origin"]
        assert answer.headers["Access-Control-Expose-Headers"] == EXPOSED
        assert answer.headers["Vary"] == "Origin"
        path = answer.headers["Location"]
        assert (await site.ask("GET", path, headers=PAGE)).headers["Vary"] == "Accept, Origin"
        missing = await site.ask("GET", "/nope", headers=PAGE)
        assert missing.headers["Access-Control-Allow-Origin"] == PAGE["Origin"]
        other = await site.ask("POST", "/reports/7", headers={"Origin": "https://evil.example"})
        other.problem("forbidden", 403)
        assert "Access-Control-Allow-Origin" not in other.headers
        assert other.headers["Vary"] == "Origin"
        await site.store.cancel([answer.id])
        stream = await site.ask("GET", path, headers={**PAGE, "Accept": "text/event-stream"})
        assert stream.headers["Access-Control-Allow-Origin"] == PAGE["Origin"]
        assert stream.headers["Vary"] == "Accept, Origin"


@pytest.mark.parametrize(
    ("written", "sent", "allowed"),
    [
        ("https://App.Example.com", "https://app.example.com", True),
        ("https://app.example.com:443", "https://app.example.com", True),
        ("http://[::1]:80", "http://[::1]", True),
        ("https://app.example.com:80", "https://app.example.com:80", True),
        ("https://app.example.com", "http://app.example.com", False),
        ("https://app.example.com", "https://app.example.com:8443", False),
    ],
)
async def test_an_origin_is_allowed_however_it_is_written(
    store: Store, written: str, sent: str, allowed: bool
) -> None:
    async with serving(store, endpoint(gateway={"cors": {"allowOrigins": [written]}})) as site:
        answer = await site.ask("POST", "/reports/7", headers={"Origin": sent})
        assert answer.status == (202 if allowed else 403)
        assert answer.headers.get("Access-Control-Allow-Origin") == (sent if allowed else None)


async def test_a_preflight(store: Store, tokens: Path) -> None:
    cors = {"allowOrigins": ["https://app.example.com"]}
    described = endpoint(gateway={"cors": cors})
    async with serving(store, described, auth_tokens_file=tokens) as site:
        asked = {**PAGE, "Access-Control-Request-Method": "PUT"}
        answer = await site.ask("OPTIONS", "/anything", headers=asked)
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE["Origin"]
        assert answer.headers["Vary"] == "Origin"
        assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
        taken = answer.headers["Access-Control-Allow-Headers"].split(", ")
        assert {"authorization", "idempotency-key", "prefer", "x-tenant"} <= set(taken)
        assert {"job-tags", "job-webhook", "traceparent", "tracestate"} <= set(taken)
        other = await site.ask("OPTIONS", "/anything", headers={**asked, "Origin": "https://x"})
        assert other.status == 401


async def test_every_origin(store: Store) -> None:
    async with serving(store, endpoint(gateway={"cors": {"allowOrigins": ["*"]}})) as site:
        answer = await site.ask("POST", "/reports/7", headers=PAGE)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


# OpenAPI and the docs page


async def test_the_description_is_valid_openapi(site: Site) -> None:
    answer = await site.ask("GET", "/openapi.json")
    assert answer.headers["Content-Type"] == "application/json"
    described = answer.json
    OpenAPIV31SpecValidator(described).validate()
    assert described["openapi"] == "3.1.0"
    assert set(described["paths"]) == {
        "/reports/{customer}",
        "/reports/latest",
        "/checked",
        "/things/{a}/parts/{b}",
        "/jobs",
        "/jobs/{id}",
        "/jobs/{id}/result",
        "/jobs/{id}/retry",
    }
    assert set(described["paths"]["/things/{a}/parts/{b}"]) == {"put", "patch", "delete"}
    schemas = described["components"]["schemas"]
    assert schemas["checked.body"]["properties"]["a"] == {
        "$ref": "#/components/schemas/checked.body.Number"
    }
    assert schemas["checked.body.Number"] == SCHEMA["$defs"]["Number"]
    assert described["security"] == []


async def test_the_job_in_the_description_is_the_job(site: Site) -> None:
    described = (await site.ask("GET", "/openapi.json")).json
    job = (await site.job(await site.finished())).json
    schema = described["components"]["schemas"]["Job"]
    assert sorted(schema["required"]) == sorted(schema["properties"]) == sorted(job)
    assert sorted(described["components"]["schemas"]["Links"]["required"]) == sorted(job["links"])


async def test_the_docs_page_loads_nothing_external(site: Site) -> None:
    answer = await site.ask("GET", "/docs")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "unsafe" not in policy
    page = answer.body.decode()
    loaded = re.findall(r"""(?:src|href|action)=["']([^"']*)["']|url\(([^)]*)\)|@import""", page)
    assert {target for pair in loaded for target in pair if target} == {"data:,", "/openapi.json"}
    assert not re.findall(r"https?://", page.replace("http://127.0.0.1", ""))


async def test_the_docs_page_escapes_the_resource(store: Store) -> None:
    schema = {"description": "</script><script>alert(1)</script>", "type": "object"}
    routes = [{"path": "/x", "job": "x", "schema": schema}]
    async with serving(store, endpoint(routes=routes)) as site:
        page = (await site.ask("GET", "/docs")).body.decode()
        assert "<script>alert" not in page
        assert page.count("<script>") == 1


async def test_gateways_on_one_store_share_its_jobs(site: Site) -> None:
    async with serving(site.store) as other:
        text = ids.text(await other.accepted())
        assert (await site.ask("GET", f"/jobs/{text}")).status == 200


EVIL = "https://evil.example"


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": EVIL}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": EVIL}, True),
        ({"Origin": EVIL}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://localhost:1"}, False),
        ({"Origin": "http://h"}, True),
        ({"Origin": "https://h"}, True),
        ({"Host": "LocalHost:8", "Origin": "http://localhost:8"}, True),
        ({"Host": "localhost:8", "Origin": "http://localhost"}, False),
        ({"Origin": "https://a.example"}, True),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://a.example"}, True),
    ],
)
@pytest.mark.parametrize("cors", [False, True])
async def test_unsafe_requests_of_other_origins_are_refused(
    store: Store, headers: dict[str, str], allowed: bool, cors: bool
) -> None:
    if headers.get("Origin") == "https://a.example":
        allowed = cors
    gateway = {"cors": {"allowOrigins": ["https://a.example"]}} if cors else {}
    async with serving(store, endpoint(gateway=gateway)) as site:
        sent = {"Host": "h", "Content-Type": "text/plain", **headers}
        answer = await site.ask("POST", "/reports/7", data=b"x", headers=sent)
        if allowed:
            assert answer.status == 202
        else:
            answer.problem("forbidden", 403)
        job = f"/jobs/{ids.text(await site.accepted())}"
        for method, path in (("DELETE", job), ("POST", job + "/retry")):
            found = await site.ask(method, path, headers=sent)
            assert (found.status == 403) != allowed
        assert (await site.ask("GET", job, headers=sent)).status == 200
        assert (await site.ask("OPTIONS", job, headers=sent)).status == 204


async def test_every_origin_may_be_allowed(store: Store) -> None:
    async with serving(store, endpoint(gateway={"cors": {"allowOrigins": ["*"]}})) as site:
        headers = {"Origin": EVIL, "Sec-Fetch-Site": "cross-site"}
        assert (await site.ask("POST", "/reports/7", headers=headers)).status == 202


@pytest.mark.parametrize(
    ("listen", "names", "host", "status"),
    [
        ("127.0.0.1", (), "localhost", 200),
        ("127.0.0.1", (), "LocalHost:8080", 200),
        ("127.0.0.1", (), "127.0.0.1:1", 200),
        ("127.0.0.1", (), "127.8.8.8", 200),
        ("127.0.0.1", (), "[::1]:8080", 200),
        ("127.0.0.1", (), "evil.example", 403),
        ("127.0.0.1", (), "localhost.evil.example", 403),
        ("127.0.0.1", (), "127.0.0.1.evil.example", 403),
        ("127.0.0.1", (), "10.0.0.1", 403),
        ("127.0.0.1", ("evil.example",), "EVIL.example:80", 200),
        ("127.0.0.1", ("*",), "evil.example", 200),
        ("localhost", (), "evil.example", 403),
        ("0.0.0.0", (), "evil.example", 200),
        ("0.0.0.0", ("a.example",), "evil.example", 403),
        ("0.0.0.0", ("a.example",), "localhost", 200),
    ],
)
async def test_a_server_on_the_loopback_answers_loopback_names_only(
    listen: str, names: tuple[str, ...], host: str, status: int
) -> None:
    async with serving(MemoryStore(), http_host=listen, allowed_hosts=names) as site:
        answer = await site.ask("GET", "/jobs", headers={"Host": host})
        assert answer.status == status
        submitted = await site.ask("POST", "/reports/7", headers={"Host": host})
        assert submitted.status == (202 if status == 200 else 403)
        if status == 403:
            answer.problem("forbidden", 403)
            target = f"GET http://{host}/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n"
            assert (await site.raw(target.encode())).startswith(b"HTTP/1.1 403 ")
