"""The stored form, the client's side: what is written is read, what is no record is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints_core.errors import StoreVersionError
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import JobError, Progress, Request, Result
from asyncendpoints_core.store.record_layout import FORMAT_KIND as KIND
from asyncendpoints_core.store.record_layout import FORMAT_VERSION as VERSION
from asyncendpoints_core.store.redis.codec import (
    Context,
    decode_request,
    decode_result,
    encode_error,
    encode_progress,
    encode_request,
    encode_result,
    read_error,
    trace_of,
)
from asyncendpoints_core.store.redis.python_layout import CorruptRecord
from asyncendpoints_core.store.redis.records import read_job, read_made, read_run

CONTEXT = Context(1_000, 0, 60_000, 60_000, 60_000)
ID = JobId(bytes(16))
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
words = st.one_of(text, st.sampled_from(["accept", "*/*", "application/json", "POST", "x-tenant"]))
requests = st.builds(
    Request,
    method=words,
    path=text,
    query=text,
    route_params=st.dictionaries(text, words, max_size=4),
    headers=st.dictionaries(
        st.one_of(words, st.just("traceparent")), st.one_of(words, text), max_size=6
    ),
    content_type=words,
    body=st.binary(max_size=1500),
)


@given(requests)
def test_a_request_comes_back_as_it_went(request: Request) -> None:
    trace = trace_of(request)
    assert decode_request(encode_request(request, inline=True), trace, None) == request
    apart = encode_request(request, inline=False)
    assert decode_request(apart, trace, request.body) == request


@given(words, st.binary(max_size=300), text)
def test_a_result_comes_back_as_it_went(kind: str, body: bytes, filename: str) -> None:
    result = Result(kind, body, filename)
    assert decode_result(encode_result(result)) == result


def test_the_commonest_request_is_small() -> None:
    request = Request("POST", "/reports", "", {}, {"accept": "*/*"}, "application/json", b"")
    assert len(encode_request(request, inline=True)) <= 15


def test_a_long_request_has_a_longer_length() -> None:
    request = Request("POST", "/" + "p" * 70_000, "", {}, {}, "", b"body")
    assert decode_request(encode_request(request, inline=True), "", None) == request


@given(st.binary(max_size=400))
def test_bytes_that_are_no_record_are_refused_or_read(data: bytes) -> None:
    for first in (data, bytes([KIND + VERSION]) + data):
        try:
            made = read_made(first)
            decode_request(first[made.end :], "", None)
            read_job(ID, first, CONTEXT)
            read_run(ID, made, first, CONTEXT)
        except (CorruptRecord, StoreVersionError):
            continue


def test_a_newer_version_is_distinguished_from_garbage() -> None:
    with pytest.raises(StoreVersionError):
        read_job(ID, bytes([KIND + VERSION + 1]) + bytes(100), CONTEXT)
    for rubbish in (b"", b"\x00", b"{}", bytes([KIND]) + bytes(100), b"\xff" * 100):
        with pytest.raises(CorruptRecord):
            read_job(ID, rubbish, CONTEXT)


@pytest.mark.parametrize("message", ["", "snow ☃", "lone \ud800 surrogate", "x" * 5_000])
def test_an_error_is_kept_within_bounds(message: str) -> None:
    code, stored = encode_error(JobError("handler-error", message, retryable=True))
    error = read_error(bytes([1, len(code)]) + code + stored)
    assert error is not None
    assert error.retryable
    assert error.message == message[:1_000].encode("utf-8", "replace").decode()


def test_progress_is_as_short_as_its_message() -> None:
    assert len(encode_progress(Progress(0.5))) == 8
