"""Request bodies: schemas, JSON, encodings, limits, 100-continue."""

import asyncio
import gzip
import json
import random
import zlib
from typing import Any

import pytest

from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.protocol import Store
from support.http.fixtures import http_mode, site, store
from support.http.gateway import JSON, Answer, Site, endpoint, serving
from support.http.steps import longest_step

__all__ = ["http_mode", "site", "store"]


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
        ("gzip", gzip.compress(b"x" * 1_000, mtime=0)[:-9]),
        ("gzip", gzip.compress(b"x", mtime=0) + b"tail"),
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


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/checked", b"", 415),
        ("/checked", b"Content-Type: text/plain\r\n", 415),
        ("/reports/7", b"Job-Delay: soon\r\n", 400),
        ("/reports/7", b"Job-Priority: urgent\r\n", 400),
        ("/reports/7", b"Job-Expires: 0\r\n", 400),
        ("/reports/7", b"Idempotency-Key: \xff\r\n", 400),
        ("/reports/7", b"Idempotency-Key: a\r\nIdempotency-Key: b\r\n", 400),
        ("/reports/7", b"Content-Encoding: br\r\n", 415),
        ("/reports/7", b"Origin: https://evil.example\r\n", 403),
        ("/nope", b"", 404),
        ("/docs", b"", 405),
    ],
)
async def test_a_body_that_the_head_refuses_is_not_invited(
    site: Site, path: str, headers: bytes, status: int
) -> None:
    line = f"POST {path} HTTP/1.1\r\nHost: h\r\n".encode()
    expect = b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    answer = await site.raw(line + headers + expect)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert b"\r\nconnection: close\r\n" in answer.lower()


EMPTY_MEMBER = gzip.compress(b"")


async def test_encoded_bytes_are_limited_too(store: Store) -> None:
    async with serving(store, endpoint(gateway={"maxBodyBytes": 10_000})) as site:
        headers = {"Content-Encoding": "gzip"}

        async def chunks() -> Any:
            for _ in range(1_000):
                yield EMPTY_MEMBER * 10

        for data in (EMPTY_MEMBER * 10_000, chunks()):
            answer = await site.ask("POST", "/reports/7", data=data, headers=headers)
            answer.problem("body-too-large", 413)
        incompressible = random.Random(1).randbytes(10_000)
        for level in (0, 9):
            data = gzip.compress(incompressible, level)
            assert len(data) > 10_000
            answer = await site.ask("POST", "/reports/7", data=data, headers=headers)
            assert answer.status == 202
        assert (await site.claim()).request.body == incompressible


async def test_gzip_members_are_limited(site: Site) -> None:
    headers = {"Content-Encoding": "gzip"}
    for members, status in ((1_000, 202), (1_001, 413)):
        data = EMPTY_MEMBER * members
        answer = await site.ask("POST", "/reports/7", data=data, headers=headers)
        assert answer.status == status


async def test_a_body_has_a_deadline(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncendpoints_gateway.http.bodies.BODY_SECONDS", 0.3)
    monkeypatch.setattr("asyncendpoints_gateway.http.bodies.BODY_BYTES_PER_SECOND", 1e9)
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"POST /reports/7 HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n")
    answer = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
    while not answer.done():  # each byte is in time
        writer.write(b"x")
        await asyncio.wait([answer], timeout=0.01)
    writer.close()
    assert (await answer).startswith(b"HTTP/1.1 400 ")


NUMBERS = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "number"}}}}
FORMS = {"items": {"anyOf": [{"type": "object", "required": [f"k{n}"]} for n in range(100)]}}
SLOW_ROUTES = [
    {"path": "/numbers", "job": "numbers", "schema": NUMBERS},
    {"path": "/forms", "job": "forms", "schema": FORMS},
    {"path": "/free", "job": "free"},
]


SLOW_BODIES = [
    ("/numbers", b'{"a": [' + b'"x",' * 200_000 + b"1]}", 422, "#/a/0"),
    ("/numbers", b'{"a": [' + b"1," * 400_000 + b'"x"]}', 422, "#/a/400000"),
    ("/numbers", b'{"a": [' + b"[]," * 260_000 + b"1]}", 422, "#/a/0"),
    ("/numbers", b'{"a": [' + b"1," * 400_000 + b"1]}", 202, ""),
    ("/numbers", b'{"a": [' + b"1," * 400_000, 400, ""),
    ("/forms", b"[" + b"{}," * 1_400 + b"{}]", 422, "#/0"),
    ("/forms", b"[" + b"{}," * 8 + b"{}]", 422, "#/0"),
    ("/free", b"[" + b"[]," * 260_000 + b"[]]", 202, ""),
    ("/free", b"[" + b"[]," * 260_000, 400, ""),
    ("/free", b"[" * 800_000, 400, ""),
]


async def test_no_body_holds_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(MemoryStore(), endpoint(routes=SLOW_ROUTES)) as site:
        longest = longest_step(monkeypatch)
        for path, body, status, pointer in SLOW_BODIES:
            answer = await site.ask("POST", path, data=body, headers=JSON)
            assert answer.status == status
            if status == 202:
                assert (await site.claim()).request.body == body
            elif status == 422:
                assert answer.json["errors"][0]["pointer"] == pointer
            assert longest() < 0.05, path


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_inflating_does_not_hold_the_event_loop(
    monkeypatch: pytest.MonkeyPatch, coding: str
) -> None:
    described = endpoint(gateway={"maxBodyBytes": 16_777_216})
    async with serving(MemoryStore(), described) as site:
        data = _compressed(coding, bytes(16_000_000))
        longest = longest_step(monkeypatch)
        headers = {"Content-Encoding": coding}
        answer = await site.ask("POST", "/reports/7", data=data, headers=headers)
        assert answer.status == 202
        assert longest() < 0.05


async def test_a_dead_process_of_checks_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(MemoryStore(), endpoint(routes=SLOW_ROUTES)) as site:
        body = b"[" + b"[]," * 20_000 + b"[]]"
        assert (await site.ask("POST", "/free", data=body, headers=JSON)).status == 202
        process = site.server.gateway.submit.checks._process
        assert process is not None
        process.kill()
        process.wait()
        assert (await site.ask("POST", "/free", data=body, headers=JSON)).status == 202
        assert "the process that checks bodies failed" in caplog.text
        replaced = site.server.gateway.submit.checks._process
        assert replaced is not None
        assert replaced.pid != process.pid
    assert replaced.poll() is not None
