"""Job ids are UUIDv7, and their text is read strictly."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.ids import JobId

NOW = 1_700_000_000_123


def test_an_id_is_a_uuid_of_version_seven() -> None:
    job_id = ids.new(NOW)
    read = uuid.UUID(bytes=job_id)
    assert len(job_id) == 16
    assert (read.version, read.variant) == (7, uuid.RFC_4122)
    assert int.from_bytes(job_id[:6], "big") == NOW


def test_all_other_bits_are_random() -> None:
    seen_set = seen_clear = 0
    for _ in range(300):
        number = int.from_bytes(ids.new(NOW), "big")
        seen_set |= number
        seen_clear |= ~number
    free = ((0xFFF << 64) | ((1 << 62) - 1)) & ((1 << 128) - 1)
    assert seen_set & free == free
    assert seen_clear & free == free


def test_no_two_are_alike_and_later_ones_sort_later() -> None:
    assert len({ids.new(NOW) for _ in range(10_000)}) == 10_000
    assert ids.new(NOW) < ids.new(NOW + 1)


@given(st.integers(0, 2**48 - 1))
def test_text_and_back(now: int) -> None:
    job_id = ids.new(now)
    text = ids.text(job_id)
    assert text == str(uuid.UUID(bytes=job_id))
    assert ids.parse(text) == job_id


VALID = "018bcfe5-687b-7abc-8def-0123456789ab"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        VALID.upper(),
        VALID + " ",
        VALID + "\n",
        " " + VALID,
        VALID[:-1],
        VALID.replace("-", ""),
        "{" + VALID + "}",
        "urn:uuid:" + VALID,
        VALID.replace("-7abc", "-4abc"),  # another version
        VALID.replace("-8def", "-cdef"),  # another variant
        VALID.replace("018", "01٨"),  # digits of another script
        VALID.replace("a", "g"),
    ],
)
def test_anything_else_is_not_an_id(text: str) -> None:
    assert ids.parse(VALID) == JobId(bytes.fromhex(VALID.replace("-", "")))
    assert ids.parse(text) is None


@given(st.text())
def test_no_text_makes_it_fail(text: str) -> None:
    parsed = ids.parse(text)
    assert parsed is None or ids.text(parsed) == text
