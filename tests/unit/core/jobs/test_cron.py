"""The times of cron expressions, over the changes of the clocks in several time zones."""

from datetime import datetime
from itertools import islice, takewhile

import pytest

from asyncendpoints_core.jobs.cron import ALIASES, MAX_COUNT, Cron, check_expression, zone

BERLIN, NEW_YORK, CAIRO = "Europe/Berlin", "America/New_York", "Africa/Cairo"
BEIRUT, SAO_PAULO, LORD_HOWE = "Asia/Beirut", "America/Sao_Paulo", "Australia/Lord_Howe"
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def ms(text: str, name: str) -> int:
    """Return a local time as ms since the epoch."""
    return round(datetime.fromisoformat(text).replace(tzinfo=zone(name)).timestamp() * 1_000)


def shown(times: list[int], name: str) -> list[str]:
    """Return times as day, hour and offset in their zone."""
    return [
        datetime.fromtimestamp(at / 1_000, zone(name)).strftime("%d %H:%M%z").removesuffix("00")
        for at in times
    ]


# expression, zone, a local time before the change, the times that follow
CHANGES = [
    # Forward: 02:00 to 03:00 does not exist on 29 March.
    ("30 2 * * *", BERLIN, "2026-03-28T12:00", ["29 03:00+02", "30 02:30+02"]),
    ("0,30 2,3 * * *", BERLIN, "2026-03-28T12:00", ["29 03:00+02", "29 03:30+02", "30 02:00+02"]),
    ("*/30 2 * * *", BERLIN, "2026-03-28T12:00", ["30 02:00+02", "30 02:30+02"]),
    ("30 * * * *", BERLIN, "2026-03-29T00:59", ["29 01:30+01", "29 03:30+02", "29 04:30+02"]),
    ("@daily", BERLIN, "2026-03-28T12:00", ["29 00:00+01", "30 00:00+02"]),
    # Back: 02:00 to 03:00 occurs twice on 25 October.
    ("30 2 * * *", BERLIN, "2026-10-24T12:00", ["25 02:30+02", "26 02:30+01"]),
    ("30 2 * * *", BERLIN, "2026-10-25T02:45", ["26 02:30+01"]),
    ("30 * * * *", BERLIN, "2026-10-25T01:31", ["25 02:30+02", "25 02:30+01", "25 03:30+01"]),
    ("*/30 2 * * *", BERLIN, "2026-10-24T12:00",
     ["25 02:00+02", "25 02:30+02", "25 02:00+01", "25 02:30+01", "26 02:00+01"]),
    # The same on the other side of the Atlantic, on other days.
    ("30 2 * * *", NEW_YORK, "2026-03-07T12:00", ["08 03:00-04", "09 02:30-04"]),
    ("@hourly", NEW_YORK, "2026-03-08T00:30", ["08 01:00-05", "08 03:00-04"]),
    ("30 1 * * *", NEW_YORK, "2026-10-31T12:00", ["01 01:30-04", "02 01:30-05"]),
    ("@hourly", NEW_YORK, "2026-11-01T00:30", ["01 01:00-04", "01 01:00-05", "01 02:00-05"]),
    # Midnight itself does not exist.
    ("@daily", CAIRO, "2026-04-23T12:00", ["24 01:00+03", "25 00:00+03"]),
    ("15 0 * * *", BEIRUT, "2026-03-28T12:00", ["29 01:00+03", "30 00:15+03"]),
    ("@daily", SAO_PAULO, "2018-11-03T12:00", ["04 01:00-02", "05 00:00-02"]),
    ("*/30 0 * * *", SAO_PAULO, "2018-11-03T12:00", ["05 00:00-02", "05 00:30-02"]),
    # The clocks go back over midnight: 23:00 to 24:00 occurs twice on the day before.
    ("30 23 * * *", BEIRUT, "2026-10-24T12:00", ["24 23:30+03", "25 23:30+02"]),
    ("*/30 23 * * *", SAO_PAULO, "2019-02-16T12:00",
     ["16 23:00-02", "16 23:30-02", "16 23:00-03", "16 23:30-03", "17 23:00-03"]),
    # They change by half an hour.
    ("0 2 * * *", LORD_HOWE, "2026-10-03T12:00", ["04 02:30+11", "05 02:00+11"]),
    ("*/15 2 * * *", LORD_HOWE, "2026-04-05T01:45",
     ["05 02:00+1030", "05 02:15+1030", "05 02:30+1030", "05 02:45+1030", "06 02:00+1030"]),
    ("*/30 * * * *", LORD_HOWE, "2026-04-05T01:00",
     ["05 01:30+11", "05 01:30+1030", "05 02:00+1030", "05 02:30+1030"]),
    ("0 */2 * * *", LORD_HOWE, "2026-04-04T23:00", ["05 00:00+11", "05 02:00+1030"]),
    ("*/20 0 * * *", LORD_HOWE, "2026-10-04T01:00",
     ["05 00:00+11", "05 00:20+11", "05 00:40+11", "06 00:00+11"]),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "name", "since", "expected"), CHANGES)
def test_when_the_clocks_change(
    expression: str, name: str, since: str, expected: list[str]
) -> None:
    times = Cron(expression, name).after(ms(since, name))
    assert shown(list(islice(times, len(expected))), name) == expected


@pytest.mark.parametrize(
    ("name", "since"),
    [
        (BERLIN, "2026-03-28T22:00"),
        (BERLIN, "2026-10-24T22:00"),
        (NEW_YORK, "2026-03-07T22:00"),
        (NEW_YORK, "2026-10-31T22:00"),
        (CAIRO, "2026-04-23T20:00"),
        (CAIRO, "2026-10-29T20:00"),
        (LORD_HOWE, "2026-10-03T22:00"),
        (LORD_HOWE, "2026-04-04T22:00"),
    ],
)
@pytest.mark.parametrize(
    "expression", ["30 2 * * *", "0,30 1-3 * * *", "@hourly", "*/20 * * * *", "*/30 2 * * *"]
)
def test_it_is_the_same_from_wherever_one_looks(name: str, since: str, expression: str) -> None:
    """A gateway that starts in the middle of a change computes what the others do."""
    cron, begin = Cron(expression, name), ms(since, name)
    end = begin + 8 * HOUR
    times = list(takewhile(lambda at: at <= end, cron.after(begin)))
    assert times == sorted(set(times))
    for now in range(begin, end - HOUR, 7 * MINUTE):
        following = [at for at in times if at > now]
        if following:
            assert cron.next(now) == following[0]
        assert cron.latest(begin, now) == max((at for at in times if at <= now), default=0)


def test_the_latest_time_is_found_however_rare() -> None:
    now = ms("2026-07-01T12:00", "Etc/UTC")
    assert Cron("* * * * *").latest(0, now) == now
    assert Cron("30 11 * * *").latest(0, now) == now - 30 * MINUTE
    assert Cron("0 0 1 1 *").latest(0, now) == ms("2026-01-01T00:00", "Etc/UTC")
    assert Cron("0 0 29 2 *").latest(0, now) == ms("2024-02-29T00:00", "Etc/UTC")
    assert Cron("* * * * *").latest(now, now) == 0
    assert Cron("* * * * *").latest(now - MINUTE, now) == now
    assert Cron("* * * * *").latest(now - 1, now + MINUTE - 1) == now


@pytest.mark.parametrize(
    ("expression", "times"),
    [
        ("0 0 13 * FRI", ["02", "09", "13", "16"]),  # either, as both are restricted
        ("0 0 13 * *", ["13"]),
        ("0 0 * * 7", ["04", "11", "18", "25"]),
        ("0 0 * * SUN", ["04", "11", "18", "25"]),
        ("0 0 L * *", ["31"]),
        ("0 0 * * MON#2", ["12"]),
        ("0 0 * * 5L", ["30"]),
        ("0 0 1-9/4 JAN *", ["01", "05", "09"]),
    ],
)
def test_days_of_january_2026(expression: str, times: list[str]) -> None:
    since, end = ms("2025-12-31T23:59", "Etc/UTC"), ms("2026-02-01T00:00", "Etc/UTC")
    found = takewhile(lambda at: at < end, Cron(expression).after(since))
    assert [time.removesuffix(" 00:00+00") for time in shown(list(found), "Etc/UTC")][
        : len(times)
    ] == times


def test_rare_days_are_found() -> None:
    since = ms("2026-07-01T12:00", "Etc/UTC")
    assert Cron("0 0 29 2 *").next(since) == ms("2028-02-29T00:00", "Etc/UTC")
    assert Cron("0 0 * 2 MON#5").next(since) == ms("2044-02-29T00:00", "Etc/UTC")


def test_times_are_counted_up_to_a_limit() -> None:
    now = ms("2026-07-01T12:00", "Etc/UTC")
    assert Cron("0 * * * *").count(now, now + 3 * HOUR) == 2
    assert Cron("0 * * * *").count(now, now) == 0
    assert Cron("* * * * *").count(now, now + 365 * DAY) == MAX_COUNT


@pytest.mark.parametrize(
    "expression", [*ALIASES, "@Daily", " 0 3 * * * ", "0 3 * * MON#2", "0 0 L * *", "0 0 * jan sun"]
)
def test_accepted(expression: str) -> None:
    check_expression(expression)
    assert Cron(expression).next(0)


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("", "0 fields instead of five"),
        ("* * * *", "4 fields instead of five: minute hour day month weekday"),
        ("0 * * * * *", "6 fields instead of five"),
        ("0 0 3 * * * 2026", "7 fields instead of five"),
        ("@reboot", "unknown alias; known are @yearly"),
        ("@every 5m", "2 fields instead of five"),
        ("61 * * * *", "invalid minute"),
        ("0 24 * * *", "invalid hour"),
        ("0 0 32 * *", "invalid day-of-month"),
        ("0 0 31 2 *", "invalid day-of-month"),
        ("0 0 * * FOO", "invalid day-of-week"),
        ("0 0 * 2 MON#6", "invalid day-of-week"),
        ("5-1 * * * *", "invalid minute"),
        ("*/0 * * * *", "invalid minute"),
        ("0 0 0 * *", "invalid day-of-month"),
        ("0 0 30 2 *", "invalid day-of-month"),
        ("0 0 * 13 *", "invalid month"),
        ("0 0 * * 8", "invalid day-of-week"),
        ("0 0 ? * *", "invalid day-of-month"),
        ("0 0 15W * *", "invalid day-of-month"),
    ],
)
def test_refused(expression: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check_expression(expression)


@pytest.mark.parametrize(
    "name",
    [
        *("Europe", "Berlin", "", "../etc/passwd", "/etc/passwd", "europe/berlin", "Local"),
        *("localtime", "posixrules", "posix/Europe/Berlin", "right/Europe/Berlin"),
    ],
)
def test_no_time_zone(name: str) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        zone(name)
