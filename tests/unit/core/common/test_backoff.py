"""Delays between retries: they double to a limit, half of each is random."""

import pytest

from asyncendpoints_core.common.backoff import Backoff, delay_after


@pytest.mark.parametrize("failures", [1, 2, 5, 50, 1_000])
def test_the_delay_grows_to_a_limit(failures: int) -> None:
    full = min(60.0, 0.5 * 2 ** (failures - 1))
    assert full / 2 <= delay_after(failures, 0.5, 60.0) <= full


def test_a_backoff_grows_to_its_limit_and_starts_again() -> None:
    backoff = Backoff(1.0, 4.0)
    delays = [backoff.next() for _ in range(5)]
    assert all(top / 2 <= each <= top for each, top in zip(delays, (1, 2, 4, 4, 4), strict=True))
    backoff.reset()
    assert backoff.next() <= 1
