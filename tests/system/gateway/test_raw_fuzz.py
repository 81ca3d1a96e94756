"""Generated and kept streams of hostile bytes; the long form is in tests/hostile."""

from typing import Final

from support.http import raw_fuzz

KEPT: Final = raw_fuzz.corpus()


async def test_the_corpus_is_withstood_whole_and_cut_at_every_byte() -> None:
    async with raw_fuzz.both_gateways() as sites:
        with raw_fuzz.nothing_logged():
            for pieces in KEPT.values():
                await raw_fuzz.withstand(*sites, pieces)
                bytewise = tuple(bytes((byte,)) for byte in b"".join(pieces)[:1_000])
                await raw_fuzz.withstand(*sites, bytewise)
            for site in sites:
                await raw_fuzz.is_quiet(site)


def test_generated_streams_are_withstood() -> None:
    raw_fuzz.fuzz(hostile=60, valid=40)
