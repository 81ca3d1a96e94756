"""Generated streams of bytes for raw HTTP connections: valid requests, and broken ones."""

import zlib

from hypothesis import strategies as st

Pieces = tuple[bytes, ...]
"""What a client sends over one connection; each piece reaches the server by itself."""

_METHODS = st.sampled_from(
    [
        *[b"POST"] * 6,
        *b"GET PUT HEAD DELETE OPTIONS PATCH CONNECT TRACE post PRI M-SEARCH \x00 POST\x0b".split(
            b" "
        ),
        *(b"", b"PO ST", b"POST\t", b"A" * 300),
    ]
)
_TARGETS = st.sampled_from(
    [
        *[b"/reports/7"] * 6,
        *b"/checked /jobs /jobs?limit=1 /jobs?cursor=AA /docs /openapi.json /jobs/x".split(),
        *b"/jobs/x/result /jobs/0190a5c2-0000-7000-8000-000000000000 /reports/%2e%2e".split(),
        *b"/reports/% /reports/%ff /reports/\xff /reports/7?a=%zz /reports//7 /reports/7#x".split(),
        *b"* // ? h:80 http://h/reports/7 http://u:p@h/reports/7 http://[::1/jobs //h/jobs".split(),
        *b"/things/1/parts/2 /reports/latest /reports/\\..\\7 /reports/7;a=b".split(),
        *(b"", b"/reports/ 7", b"/" + b"x" * 9_000),
    ]
)
_VERSIONS = st.sampled_from(
    [
        *[b" HTTP/1.1"] * 10,
        *(b" HTTP/1.0", b" HTTP/2.0", b" HTTP/0.9", b"", b" http/1.1", b" HTTP/1.10", b" ICY/1.1"),
        *(b"  HTTP/1.1", b" HTTP/1.1 ", b" HTTP/11", b" HTTP/1.1\x00", b" HTTP/-1.1"),
    ]
)
_VALUES = {
    b"Content-Length": b"5|0|+5|-5|0x5|5,5|5, 6|05| 5 |5\x0b||1e3|\xb2|5;a|1_0|4294967301"
    b"|18446744073709551621|999999999999999999999999999999",
    b"Transfer-Encoding": b"chunked|Chunked|chunked, chunked|gzip, chunked|identity|\x0bchunked"
    b"|chunked;x=y|x, chunked|chunked, identity||,",
    b"Host": b"h||a b|h/|u@h|h, h|h:x|[::1|[::1]:80|evil",
    b"Connection": b"close|keep-alive|Upgrade|Content-Length|close, close|\xff",
    b"Upgrade": b"websocket|h2c|TLS/1.0|",
    b"Expect": b"100-continue|200-ok||100-Continue, x",
    b"Content-Encoding": b"gzip|deflate|br|gzip, gzip|identity||GZIP",
    b"Content-Type": b"application/json|text/plain; charset=utf-16|x|a/b;;;;;;;;;;|\xff",
    b"Idempotency-Key": b'k|"k"|\xff|"||' + b"k" * 300,
    b"Prefer": b'wait=0|wait=-1|wait="0|wait=0, wait=1|wait=' + b"9" * 50,
    b"Accept": b"text/event-stream|*/*;q=2|;|text/event-stream;q=0|,,,,,,,,,,,,",
    b"Job-Delay": b"1|1.5|-1|1e9|\xd9\xa1||" + b"9" * 400,
    b"Job-Tags": b"a,b|,|a b|t,t,t,t,t,t,t,t,t,t,t,t|" + b"x" * 70,
    b"Job-Priority": b"high|HIGH|urgent|\x80",
    b"If-None-Match": b'*|"1"|W/"1"|"|\xff',
    b"Origin": b"null|http://h|http://evil.example|\xff",
    b"Range": b"bytes=0-|bytes=-1",
    b"Traceparent": b"00-\xff|--------|00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01",
    b"Authorization": b"Bearer x|Bearer|Basic \xff",
    b"X-Tenant": b"t|\xe2\x82|a\x00b|a\rb|a\nb|\x7f|" + b"t" * 5_000,
}
_HEADER = st.one_of(
    st.sampled_from(
        [
            name + b": " + value + b"\r\n"
            for name, values in _VALUES.items()
            for value in values.split(b"|")
        ]
    ),
    st.builds(
        lambda name, between, value, end: name + between + value + end,
        st.sampled_from(
            [*_VALUES, b"content_length", b"", b"X\0", b"\xff", b" Host", b"A" * 3_000]
        ),
        st.sampled_from([b": ", b":", b" : ", b":\t", b"", b"::", b":\r\n "]),
        st.one_of(st.sampled_from([b"", b"5", b"chunked", b"close"]), st.binary(max_size=12)),
        st.sampled_from([b"\r\n", b"\n", b"\r", b"\r\r\n", b"\r\n \r\n", b"\x00\r\n"]),
    ),
)
_PLAIN_HEADERS = (
    b"Content-Type: text/plain|X-Tenant: a|Job-Priority: low|Accept: */*|Job-Delay: 60|Cookie: a"
    b"|Job-Delay: soon|Job-Tags: a,b|Prefer: wait=0|User-Agent: u|Idempotency-Key: \xff"
    b"|Expect: 100-continue"
)
_PLAIN_HEADER = st.sampled_from([line + b"\r\n" for line in _PLAIN_HEADERS.split(b"|")])
_CONTENT = st.one_of(
    st.sampled_from(
        [b"", b"x", b"{}", b'{"a":1}', b'{"a":-1}', b'{"a":', b"[" * 200, b"x" * 5_000]
    ).flatmap(lambda body: st.sampled_from([body, zlib.compress(body)])),
    st.binary(max_size=60),
)
_CHUNK_EDGES = st.sampled_from(
    [*[b""] * 8, b";a=1", b';q="\r\n"', b" ", b";", b"\t", b"\n", b"g", b"\0", b";" + b"e" * 5_000]
)
_TRAILERS = st.sampled_from(
    [
        *[b"\r\n"] * 6,
        *(b"X: y\r\n\r\n", b"Content-Length: 9\r\n\r\n", b"bad\r\n\r\n", b"\n", b"", b"0\r\n\r\n"),
        b"X: " + b"y" * 20_000 + b"\r\n\r\n",
        b"".join(b"X%d: y\r\n" % n for n in range(200)) + b"\r\n",
    ]
)


@st.composite
def _chunked(draw: st.DrawFn) -> bytes:
    data = b""
    for _ in range(draw(st.integers(0, 3))):
        part = draw(st.binary(min_size=1, max_size=20))
        size = draw(
            st.sampled_from([b"%x", b"%X", b"0%x", b"+%x", b"0x%x", b"-%x", b"%x0000000000"])
        )
        size = b"%x" if draw(st.booleans()) else size
        end = draw(st.sampled_from([*[b"\r\n"] * 8, b"\n", b"", b"\r", b"xx\r\n"]))
        data += size % len(part) + draw(_CHUNK_EDGES) + b"\r\n" + part + end
    last = draw(
        st.sampled_from(
            [*[b"0\r\n"] * 6, b"00\r\n", b"0;x\r\n", b"", b"-0\r\n", b"F" * 17 + b"\r\n"]
        )
    )
    return data + last + draw(_TRAILERS)


@st.composite
def _request(draw: st.DrawFn) -> bytes:
    """A request, most parts of which are valid."""
    head = draw(_METHODS) + b" " + draw(_TARGETS) + draw(_VERSIONS) + b"\r\n"
    head += draw(st.sampled_from([*[b"Host: h\r\n"] * 9, b""]))
    head += b"".join(draw(st.lists(_HEADER, max_size=draw(st.sampled_from([0, 1, 3, 140])))))
    match draw(st.sampled_from(["none", "length", "wrong length", "chunked"])):
        case "length":
            body = draw(_CONTENT)
            return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        case "wrong length":
            body = draw(_CONTENT)
            return head + b"Content-Length: %d\r\n\r\n" % draw(st.integers(0, 70)) + body
        case "chunked":
            return head + b"Transfer-Encoding: chunked\r\n\r\n" + draw(_chunked())
    return head + b"\r\n"


@st.composite
def _damaged(draw: st.DrawFn, streams: st.SearchStrategy[bytes]) -> bytes:
    data = bytearray(draw(streams))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 3)):
            case 0:
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case 1:
                del data[at : at + draw(st.integers(1, 6))]
            case 2:
                data[at:at] = draw(
                    st.sampled_from([b"\r\n", b"\n", b"\0", b" ", b"\r\n\r\n", b":"])
                )
            case _:
                data[at:at] = data[at : at + draw(st.integers(1, 200))]
    return bytes(data)


@st.composite
def _cut(draw: st.DrawFn, streams: st.SearchStrategy[bytes]) -> Pieces:
    data = draw(streams)
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(data) - 1)), max_size=4)))
    return tuple(
        piece for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if (piece := data[a:b])
    )


def hostile_streams() -> st.SearchStrategy[Pieces]:
    """One to three requests in a row, valid ones and broken ones, cut anywhere."""
    joined = st.lists(_request(), min_size=1, max_size=3).map(b"".join)
    return _cut(st.one_of(joined, _damaged(joined), st.binary(max_size=200)))


@st.composite
def _valid_request(draw: st.DrawFn) -> bytes:
    method = draw(st.sampled_from([b"POST", b"POST", b"POST", b"GET", b"PUT", b"OPTIONS", b"HEAD"]))
    paths = [
        b"/reports/7",
        b"/reports/latest",
        b"/reports/a%2Fb",
        b"/reports/%ff",
        b"/checked",
        b"/jobs/x",
    ]
    target = draw(st.sampled_from([*paths, b"/reports/7?a=b", b"/nope", b"/jobs"]))
    head = method + b" " + target + b" HTTP/1.1\r\nHost: h\r\n"
    head += b"".join(draw(st.lists(_PLAIN_HEADER, max_size=3, unique=True)))
    body = draw(_CONTENT)
    if draw(st.booleans()):
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    chunk = b"%x;e=1\r\n%b\r\n" % (len(body), body) if body else b""
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n"


def valid_streams() -> st.SearchStrategy[tuple[list[bytes], Pieces]]:
    """Up to four valid requests in a row, and the same bytes cut anywhere."""
    return st.lists(_valid_request(), min_size=1, max_size=4).flatmap(
        lambda requests: st.tuples(st.just(requests), _cut(st.just(b"".join(requests))))
    )
