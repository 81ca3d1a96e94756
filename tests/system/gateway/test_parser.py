"""Invalid and unusual HTTP over raw sockets: answered as problems that repeat nothing of it."""

import asyncio
import json
import random
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.store.memory import MemoryStore
from support.http.fixtures import http_mode, site, store
from support.http.gateway import PROBLEM, Site, endpoint, serving

__all__ = ["http_mode", "site", "store"]

SECRET = b"s3cret-that-must-not-come-back"


def _problem(answer: bytes, name: str, status: int) -> dict[str, object]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert re.match(rb"HTTP/[01]\.[019] %d " % status, head), head
    assert b"Content-Type: application/problem+json" in head
    assert b"Cache-Control: no-store" in head
    assert SECRET not in answer
    found: dict[str, object] = json.loads(body)
    assert found["type"] == PROBLEM + name
    return found


def _refused_by_aiohttp(answer: bytes) -> None:
    """Assert that aiohttp's parser refused the request in its own words."""
    assert re.search(rb"HTTP/1\.[01] 400 Bad Request\r\n", answer), answer
    assert b"Content-Type: text/plain" in answer
    assert PROBLEM.encode() not in answer


POST = b"POST /reports/7 HTTP/1.1\r\nHost: h\r\n"
FAULTS = [
    (b"GARBAGE " + SECRET + b"\r\n\r\n", "invalid-header", 400),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + SECRET, "invalid-header", 400),
    (b"POST /reports/7 HTTP/9.9\r\nHost: h\r\n\r\n", "version-not-supported", 505),
    (b"POST /reports/7 HTTP/1.2\r\nHost: h\r\n\r\n", "version-not-supported", 505),
    (b"POST /reports/7 HTCPCP/1.1\r\nHost: h\r\n\r\n", "invalid-header", 400),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "invalid-header", 400),
    (b"S3CRET /reports/7 HTTP/1.1\r\nHost: h\r\n\r\n", "not-implemented", 501),
    (b"get /jobs HTTP/1.1\r\nHost: h\r\n\r\n", "not-implemented", 501),
    (b"BREW /a HTTP/1.1\r\nX: " + SECRET + b"\r\n\r\n", "not-implemented", 501),
    (b"S3CRET /reports/7\r\nHost: h\r\n\r\n", "invalid-header", 400),
    (POST + b"Content-Length: 0\r\n\r\nS3CRET\r\n\r\n", "invalid-header", 400),
    (POST + b"X: a\r\n folded\r\n\r\n", "invalid-header", 400),
    (POST + b": " + SECRET + b"\r\n\r\n", "invalid-header", 400),
    (POST + b"Content-Length: +1\r\n\r\n", "invalid-header", 400),
    (POST + b"Transfer-Encoding: gzip\r\n\r\n", "invalid-header", 400),
    (b"GET /jobs\x01 HTTP/1.1\r\nHost: h\r\n\r\n", "invalid-query", 400),
    (b"GET * HTTP/1.1\r\nHost: h\r\n\r\n", "invalid-query", 400),
    (b"POST /reports/7 HTTP/1.1\r\n\r\n", "invalid-header", 400),
    (POST + b"Host: " + SECRET + b"\r\n\r\n", "invalid-header", 400),
    (POST + SECRET + b"\r\n\r\n", "invalid-header", 400),
    (POST + b"X: a\x00" + SECRET + b"\r\n\r\n", "invalid-header", 400),
    (POST + b"X: a\x01\x02\r\n\r\n", "invalid-header", 400),
    (POST + b"X y: " + SECRET + b"\r\n\r\n", "invalid-header", 400),
    (POST + b"Content-Length: " + SECRET + b"\r\n\r\n", "invalid-header", 400),
    (POST + b"Content-Length: -1\r\n\r\n", "invalid-header", 400),
    (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "invalid-header", 400),
    (
        POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "invalid-header",
        400,
    ),
    (POST + b"Transfer-Encoding: " + SECRET + b"\r\n\r\n", "invalid-header", 400),
    (POST + b"Transfer-Encoding: chunked\r\n\r\n" + SECRET + b"\r\n", "invalid-header", 400),
    (b"POST " + SECRET + b" HTTP/1.1\r\nHost: h\r\n\r\n", "invalid-query", 400),
    (b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", "uri-too-long", 414),
    (b"GET /?" + b"x" * 200_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", "uri-too-long", 414),
    (POST + b"X: " + b"y" * 17_000 + b"\r\n\r\n", "headers-too-large", 431),
    (POST + b"X: " + b"y" * 1_000_000 + b"\r\n\r\n", "headers-too-large", 431),
    (POST + b"y" * 17_000 + b": x\r\n\r\n", "headers-too-large", 431),
    (POST + b"".join(b"X%d: y\r\n" % n for n in range(200)) + b"\r\n", "headers-too-large", 431),
]


# Valid for the parser, refused by the gateway.
REFUSED_HEADS = [
    (b"POST /reports/7\r\n\r\n", "invalid-header", 400),
    (b"POST /reports/7 HTTP/2.0\r\nHost: h\r\n\r\n", "version-not-supported", 505),
    (b"GET /jobs HTTP/1.1\r\nHost: a b/\r\n\r\n", "invalid-header", 400),
    (b"GET /jobs HTTP/1.1\r\nHost: h/\r\n\r\n", "invalid-header", 400),
    (b"GET /jobs HTTP/1.1\r\nHost: user@h\r\n\r\n", "invalid-header", 400),
    (b"GET /jobs HTTP/1.1\r\nHost: h, h\r\n\r\n", "invalid-header", 400),
    (b"GET /jobs HTTP/1.1\r\nHost: h:x\r\n\r\n", "invalid-header", 400),
    (b"GET /jobs HTTP/1.1\r\nHost: h:99999\r\n\r\n", "invalid-header", 400),
    (b"GET /jobs HTTP/1.1\r\nHost: [::1\r\n\r\n", "invalid-header", 400),
    (b"GET /jobs HTTP/1.1\r\nHost: [:::1]\r\n\r\n", "invalid-header", 400),
    (b"GET /jobs HTTP/1.1\r\nHost: %zz\r\n\r\n", "invalid-header", 400),
    (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "not-implemented", 501),
    (
        b"POST /reports/7 HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "invalid-header",
        400,
    ),
    (b"POST /reports/7#x HTTP/1.1\r\nHost: h\r\n\r\n", "invalid-query", 400),
    (b"POST /reports/7# HTTP/1.1\r\nHost: h\r\n\r\n", "invalid-query", 400),
    (b"GET /jobs?limit=1#x HTTP/1.1\r\nHost: h\r\n\r\n", "invalid-query", 400),
    (b"POST http://u:p@h/reports/7 HTTP/1.1\r\nHost: h\r\n\r\n", "invalid-header", 400),
    (b"POST ftp://h/reports/7 HTTP/1.1\r\nHost: h\r\n\r\n", "invalid-query", 400),
    (
        POST + b"".join(b"X%d: %b\r\n" % (n, b"y" * 2_000) for n in range(10)) + b"\r\n",
        "headers-too-large",
        431,
    ),
]


@pytest.mark.parametrize(("data", "name", "status"), FAULTS, ids=range(len(FAULTS)))
async def test_faults_of_the_head_are_problems(
    site: Site, http_mode: str, data: bytes, name: str, status: int
) -> None:
    if http_mode == "fast path":
        _problem(await site.raw(data), name, status)
        return
    try:
        _refused_by_aiohttp(await site.raw(data))
    except ConnectionResetError:  # aiohttp closes the connection without reading the rest
        assert len(data) > 100_000


@pytest.mark.parametrize(("data", "name", "status"), REFUSED_HEADS, ids=range(len(REFUSED_HEADS)))
async def test_refused_heads_are_problems(site: Site, data: bytes, name: str, status: int) -> None:
    answer = await site.raw(data)
    _problem(answer, name, status)
    assert answer.startswith(b"HTTP/1.0 " if b"HTTP/1.0" in data else b"HTTP/1.1 ")
    assert (await site.store.stats()).totals.get("created", 0) == 0


@pytest.mark.parametrize(
    "host", [b"", b"h", b"h:80", b"h:", b"LOCALHOST", b"[::1]:80", b"127.0.0.1"]
)
async def test_valid_hosts(site: Site, host: bytes) -> None:
    answer = await site.raw(
        b"GET /jobs HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_body_with_broken_framing_is_400(
    site: Site, http_mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if http_mode == "public interface":  # does not notify the reader of the body, which gives up
        monkeypatch.setattr("asyncendpoints_gateway.http.bodies.STALL_SECONDS", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc")
    await writer.drain()
    await asyncio.sleep(0)  # two packets: the head alone is a request already
    await site.ask("GET", "/jobs")
    writer.write(b"de\r\nZZ " + SECRET + b"\r\n")
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    _problem(answer, "malformed-body", 400)
    assert (await site.store.stats()).totals.get("created", 0) == 0


async def test_a_body_that_ends_early_makes_no_job(site: Site) -> None:
    answer = await site.raw(POST + b"Content-Length: 100\r\n\r\nabc", eof=True)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
    assert (await site.store.stats()).totals.get("created", 0) == 0


async def test_a_stalled_body_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncendpoints_gateway.http.bodies.STALL_SECONDS", 0.05)
    answer = await site.raw(POST + b"Content-Length: 100\r\n\r\nabc")
    _problem(answer, "malformed-body", 400)


async def test_requests_before_the_fault_are_answered(site: Site, http_mode: str) -> None:
    one = POST + b"Content-Length: 0\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(one)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 202 ")
    writer.write(b"GARBAGE\r\n\r\n")
    rest = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    if http_mode == "fast path":
        assert b"HTTP/1.1 400 " in rest
        assert PROBLEM.encode() + b"invalid-header" in rest
    else:
        assert b"HTTP/1.0 400 " in rest
        _refused_by_aiohttp(rest)


async def test_pipelined_requests_are_answered_in_order(site: Site) -> None:
    requests = b"".join(
        b"POST /reports/%d HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n%b\r\n%d"
        % (n, b"Connection: close\r\n" if n == 9 else b"", n)
        for n in range(10)
    )
    answer = await site.raw(requests)
    assert answer.count(b"HTTP/1.1 202 ") == 10
    bodies = [(await site.claim()).request.body for _ in range(10)]
    assert bodies == [b"%d" % n for n in range(10)]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"OPTIONS * HTTP/1.1", b"204"),
        (b"OPTIONS http://h/reports/7 HTTP/1.1", b"204"),
        (b"POST http://elsewhere/reports/7 HTTP/1.1", b"202"),
        (b"POST http://elsewhere HTTP/1.1", b"404"),
        (b"CONNECT h:80 HTTP/1.1", b"404"),
        (b"TRACE /reports/7 HTTP/1.1", b"405"),
        (b"PROPFIND /reports/7 HTTP/1.1", b"405"),
        (b"POST /reports/\xc3\xa9 HTTP/1.1", b"400"),
        (b"POST /reports/\xff HTTP/1.1", b"400"),
        (b"POST /reports/7?\xff HTTP/1.1", b"400"),
        (b"POST /../reports/7 HTTP/1.1", b"404"),
        (b"POST /reports/.. HTTP/1.1", b"202"),
        (b"POST /reports/%2e%2e HTTP/1.1", b"202"),
        (b"POST /reports/%00 HTTP/1.1", b"202"),
        (b"GET /jobs/%ff HTTP/1.1", b"400"),
        (b"GET /jobs?state=%ff HTTP/1.1", b"400"),
    ],
)
async def test_odd_targets(site: Site, target: bytes, status: bytes) -> None:
    answer = await site.raw(target + b"\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert answer.split(b" ", 2)[1] == status, answer


async def test_http_1_0(site: Site) -> None:
    answer = await site.raw(b"POST /reports/7 HTTP/1.0\r\nContent-Length: 1\r\n\r\n1")
    assert answer.startswith(b"HTTP/1.0 202 ")
    path = json.loads(answer.partition(b"\r\n\r\n")[2])["links"]["self"].encode()
    await site.complete(await site.claim())
    stream = await site.raw(b"GET " + path + b" HTTP/1.0\r\nAccept: text/event-stream\r\n\r\n")
    assert b"event: job\n" in stream


async def test_an_upgrade_is_declined_by_serving_http(site: Site) -> None:
    answer = await site.raw(
        POST + b"Connection: Upgrade, close\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n"
    )
    assert answer.startswith((b"HTTP/1.1 202 ", b"HTTP/1.1 400 "))


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c", b"x/1"])
@pytest.mark.parametrize("split", [False, True])
async def test_a_request_behind_an_upgrade_is_answered_or_announced_as_lost(
    site: Site, protocol: bytes, split: bool
) -> None:
    upgrade = POST + b"Connection: Upgrade\r\nUpgrade: " + protocol + b"\r\n"
    upgrade += b"Content-Length: 1\r\n\r\nx"
    following = b"GET /jobs HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(upgrade if split else upgrade + following)
    first = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    assert first.startswith(b"HTTP/1.1 202 ")
    if split and b"Connection: close" not in first:
        writer.write(following)
    rest = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    assert (b"HTTP/1.1 200 " in rest) != (b"Connection: close" in first)


async def test_an_upgrade_alone_keeps_the_connection(site: Site, http_mode: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"GET /jobs HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    first = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    writer.close()
    assert (b"Connection: close" in first) == (http_mode == "public interface")


@pytest.mark.parametrize("line", [b"POST /nope", b"PUT /reports/7", b"POST /jobs", b"DELETE /docs"])
async def test_an_unread_body_ends_the_connection_with_an_announcement(
    site: Site, line: bytes
) -> None:
    answer = await site.raw(line + b" HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n")
    assert re.match(rb"HTTP/1.1 40[45] ", answer), answer
    assert b"\r\nConnection: close\r\n" in answer


async def test_responses_do_not_name_the_software_underneath(site: Site) -> None:
    job = ids.text(await site.finished()).encode()
    get = b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
    for request in (
        b"GET /jobs" + get + b"\r\n",
        b"HEAD /jobs" + get + b"\r\n",
        b"OPTIONS /jobs" + get + b"\r\n",
        b"GET /nope HTTP/1.0\r\n\r\n",
        b"GET /jobs HTTP/2.0\r\n\r\n",
        b"GET /jobs/" + job + get + b"Accept: text/event-stream\r\n\r\n",
        b"GET /jobs/" + job + get + b"If-None-Match: *\r\n\r\n",
    ):
        head = (await site.raw(request)).partition(b"\r\n\r\n")[0]
        assert re.findall(rb"Server: (.*?)\r", head + b"\r") == [b"asyncendpoints"], request


async def test_a_broken_body_that_nobody_reads_logs_no_error(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    for line in (b"POST /nope", b"POST /reports/7"):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        head = b" HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(line + head + b"5\r\nab")
        if b"nope" in line:
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        else:
            await site.ask("GET", "/jobs")
        writer.write(b"cde\r\nZZ\r\n")
        writer.write_eof()
        await asyncio.wait_for(reader.read(), 20)
        writer.close()
    assert [r for r in caplog.records if r.levelname == "ERROR"] == []


# Fuzzing: no input makes the server answer 500 or stop.

_TOKENS = [
    b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT", b" ", b"  ",
    b"/", b"/reports/7", b"/checked", b"/jobs", b"/jobs/x", b"/docs", b"*", b"http://h", b"?",
    b"%", b"%ff", b"%00", b"#", b"HTTP/1.1", b"HTTP/1.0", b"\r\n", b"\n", b"\r", b"\0", b":",
    b"Host: h\r\n", b"Content-Length: ", b"5", b"-5", b"Transfer-Encoding: chunked\r\n",
    b"Content-Encoding: gzip\r\n", b"Content-Type: application/json\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n", b"Connection: upgrade\r\n", b"Upgrade: websocket\r\n", b"\xff\xfe",
    b"Accept: text/event-stream\r\n", b"Prefer: wait=0\r\n", b"If-None-Match: ", b'"', b"{", b"[",
    b"Idempotency-Key: \xff\r\n", b"Job-Delay: ", b"Authorization: Bearer\r\n", b"0\r\n\r\n",
    b"X: " + b"a" * 300 + b"\r\n", b"\x1f\x8b\x08\x00", b"Origin: x\r\n", b"Last-Event-ID: 1\r\n",
]  # fmt: skip

_BYTES = st.one_of(
    st.lists(st.sampled_from(_TOKENS), max_size=25).map(b"".join),
    st.builds(
        lambda method, path, headers, body: (
            method + b" /" + path + b" HTTP/1.1\r\nHost: h\r\n" + headers + b"\r\n" + body
        ),
        st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS"]),
        st.one_of(
            st.sampled_from([b"reports/7", b"checked", b"jobs", b"jobs/x", b"docs"]),
            st.binary(max_size=20),
        ),
        st.lists(st.sampled_from(_TOKENS), max_size=8).map(b"".join),
        st.binary(max_size=200),
    ),
    st.binary(max_size=300),
)


@given(st.lists(_BYTES, min_size=1, max_size=10))
@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
def test_hostile_bytes_never_make_a_500(requests: list[bytes]) -> None:
    async def run() -> None:
        async with serving(
            MemoryStore(), endpoint(gateway={"cors": {"allowOrigins": ["*"]}})
        ) as it:
            for data in requests:
                _no_500(await it.raw(data, eof=True))
            assert (await it.submit()).status == 202

    asyncio.run(run())


def _no_500(answer: bytes) -> None:
    for line in answer.split(b"\r\n"):
        if line.startswith(b"HTTP/1."):
            assert line.split(b" ")[1] not in {b"500", b"502", b"504"}, answer
    assert b"Traceback" not in answer
    assert b"aiohttp." not in answer


async def test_mutated_requests_never_make_a_500(site: Site) -> None:
    job = ids.text(await site.accepted()).encode()
    seeds = [
        POST + b"Content-Type: application/json\r\nContent-Length: 7\r\n\r\n" + b'{"a":1}',
        b"GET /jobs/" + job + b'?wait=0 HTTP/1.1\r\nHost: h\r\nIf-None-Match: "1"\r\n\r\n',
        b"GET /jobs?state=Queued&limit=2&cursor=AAA HTTP/1.1\r\nHost: h\r\n\r\n",
        b"DELETE /jobs/" + job + b"?purge=true HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST /jobs/" + job + b"/retry HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        POST + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00",
        POST + b"Idempotency-Key: k\r\nJob-Delay: 1\r\nJob-Priority: low\r\nPrefer: wait=0\r\n\r\n",
    ]
    chance = random.Random(7)
    for _ in range(150):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 4)):
            where = chance.randrange(len(data))
            if chance.random() < 0.3:
                del data[where : where + chance.randint(1, 5)]
            else:
                data[where] = chance.randrange(256)
        _no_500(await site.raw(bytes(data), eof=True))
    assert (await site.submit()).status == 202
