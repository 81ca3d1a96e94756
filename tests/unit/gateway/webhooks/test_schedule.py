"""When a failed delivery is tried again."""

from email.utils import formatdate

import pytest

from asyncendpoints_core.common.retry_after import retry_after_ms
from asyncendpoints_core.errors import RetryAfter
from asyncendpoints_gateway.webhooks.schedule import DELAYS, delay_after, read_retry_after


def middle() -> float:
    return 0.5


def test_nine_more_tries_and_then_none() -> None:
    found = [delay_after(tries, 0, middle) for tries in range(1, 11)]
    hours = [3_600 * hour for hour in (2, 5, 10, 14, 20, 24)]
    assert found == [5, 300, 1_800, *hours, None]


def test_each_is_spread_by_a_tenth() -> None:
    for tries, delay in enumerate(DELAYS, 1):
        assert delay_after(tries, 0, lambda: 0.0) == delay * 0.9
        assert abs((delay_after(tries, 0, lambda: 1.0) or 0) - delay * 1.1) < 1e-6


def test_a_longer_retry_after_wins_up_to_a_day() -> None:
    assert delay_after(1, 120, middle) == 120
    assert delay_after(2, 120, middle) == 300
    assert delay_after(1, 1e9, middle) == 86_400


def test_retry_after_is_seconds_or_a_date() -> None:
    now_ms = 1_700_000_000_000
    assert read_retry_after(" 120 ", now_ms) == 120
    assert read_retry_after(formatdate(1_700_000_060, usegmt=True), now_ms) == 60
    assert read_retry_after(formatdate(1_600_000_000, usegmt=True), now_ms) == 0
    for value in ("", "soon", "-5", "1e9", "²"):
        assert read_retry_after(value, now_ms) == 0


@pytest.mark.parametrize("value", ["1000000000", "9" * 400, "9" * 5_000, "0" * 5_000 + "86400"])
def test_retry_after_of_many_digits_is_the_longest_wait(value: str) -> None:
    found = read_retry_after(value, 1_700_000_000_000)
    assert delay_after(1, found, middle) == 86_400


def test_retry_after_is_bounded_as_that_of_a_handler() -> None:
    now_ms = 1_700_000_000_000
    for value in ("1" * 10, "Fri, 31 Dec 9999 23:59:59 GMT"):
        assert retry_after_ms(value, now_ms) == RetryAfter.MAX_SECONDS * 1000
    assert retry_after_ms("0007", now_ms) == 7_000
