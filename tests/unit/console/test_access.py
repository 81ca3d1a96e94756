"""Tokens, sessions and login links; the checks against pages of other sites."""

import pytest

from asyncendpoints_console.access import (
    LOGIN_LINK_SECONDS,
    MAX_SESSIONS,
    SESSION_SECONDS,
    Access,
    Role,
    check_mutation,
    check_origin,
)
from asyncendpoints_console.reading.hidden import hide, hide_path, hide_query
from asyncendpoints_console.refusals import Refusal
from asyncendpoints_core.common.time_source import ManualClock

TOKENS = {Role.VIEW: "v" * 43, Role.OPERATE: "o" * 43}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9091", "[::1]:1", "LOCALHOST:65535"])
def test_the_loopback_is_a_host(host: str) -> None:
    check_origin({"Host": host})
    check_origin({"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"})
    check_origin({"Host": host, "Sec-Fetch-Site": "none"})


@pytest.mark.parametrize(
    "host",
    [
        *("", "evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "127.0.0.2", "0.0.0.0"),
        *("::1", "[::1", "localhost:", "localhost:x", "localhost:123456", "a@localhost"),
        *("127.1", "2130706433", "[::ffff:127.0.0.1]", "localhost.", " localhost", "localhost\n"),
    ],
)
def test_no_other_host_is_answered(host: str) -> None:
    with pytest.raises(Refusal) as refused:
        check_origin({"Host": host})
    assert (refused.value.name, refused.value.status) == ("forbidden", 403)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:8080"},
        {"Origin": "https://localhost:9091"},
        {"Origin": "http://127.0.0.1:9091"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": ""},
    ],
)
def test_no_page_of_another_origin_is_answered(headers: dict[str, str]) -> None:
    with pytest.raises(Refusal) as refused:
        check_origin({"Host": "localhost:9091", **headers})
    assert refused.value.name == "forbidden"


@pytest.mark.parametrize(
    "kind",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"],
)
def test_a_change_is_json(kind: str) -> None:
    with pytest.raises(Refusal, match="application/json"):
        check_mutation({"Content-Type": kind}, Role.OPERATE, read_only=False)


def test_only_operate_changes_and_nobody_where_it_is_read_only() -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    check_mutation(headers, Role.OPERATE, read_only=False)
    with pytest.raises(Refusal, match="view token"):
        check_mutation(headers, Role.VIEW, read_only=False)
    with pytest.raises(Refusal, match="read-only"):
        check_mutation(headers, Role.OPERATE, read_only=True)


def test_a_token_has_its_role() -> None:
    access = Access(lambda: TOKENS, ManualClock())
    for role, token in TOKENS.items():
        assert access.role(f"Bearer {token}", None) is role
        assert access.role(f"bearer  {token} ", None) is role
    session = access.log_in(TOKENS[Role.OPERATE])
    for wrong in ("", "Bearer", "Bearer x", f"Basic {TOKENS[Role.VIEW]}", TOKENS[Role.VIEW]):
        for cookie in (None, session):  # a wrong token is not made up for by a session
            with pytest.raises(Refusal) as refused:
                access.role(wrong, cookie)
            assert refused.value.name == "unauthorized"


def test_a_role_without_a_token_is_off() -> None:
    access = Access(dict, ManualClock())
    with pytest.raises(Refusal):
        access.role("Bearer ", None)


def test_a_session_lasts_twelve_hours_or_until_it_is_ended() -> None:
    clock = ManualClock()
    access = Access(lambda: TOKENS, clock)
    with pytest.raises(Refusal):
        access.log_in("wrong")
    first, second = access.log_in(TOKENS[Role.VIEW]), access.log_in(TOKENS[Role.VIEW])
    assert access.role(None, first) is Role.VIEW
    access.log_out(first)
    clock.advance(SESSION_SECONDS * 1_000 - 1)
    assert access.role(None, second) is Role.VIEW
    clock.advance(1)
    for ended in (first, second, None, ""):
        with pytest.raises(Refusal):
            access.role(None, ended)


def test_a_link_opens_one_session_within_an_hour() -> None:
    clock = ManualClock()
    access = Access(lambda: TOKENS, clock)
    link, late = access.new_link(Role.OPERATE), access.new_link(Role.OPERATE)
    session = access.use_link(link)
    assert access.role(None, session) is Role.OPERATE
    assert access.use_link(link) is None
    assert access.use_link(session or "") is None
    clock.advance(LOGIN_LINK_SECONDS * 1_000)
    assert access.use_link(late) is None


def test_sessions_are_bounded() -> None:
    access = Access(lambda: TOKENS, ManualClock())
    sessions = [access.log_in(TOKENS[Role.VIEW]) for _ in range(MAX_SESSIONS + 1)]
    with pytest.raises(Refusal):
        access.role(None, sessions[0])
    assert access.role(None, sessions[-1]) is Role.VIEW


def test_secrets_of_a_request_are_hidden() -> None:
    headers = {"authorization": "a", "cookie": "b", "x-api-key": "c", "accept": "d", "X-Token": "e"}
    assert hide(headers) == dict.fromkeys(headers, "***") | {"accept": "d"}
    assert hide_query("page=1&access_token=t&x&client_secret=&page=2") == (
        "page=1&access_token=***&x&client_secret=***&page=2"
    )
    assert hide_query("") == ""
    assert hide_query("%74oken=t&client%2Dsecret=s&api+key=k&a=b") == (
        "%74oken=***&client%2Dsecret=***&api+key=***&a=b"
    )


def test_secrets_in_a_path_are_hidden() -> None:
    params = {"customer": "7", "resetToken": "a b", "apiKey": ""}
    assert hide_path("/reset/a%20b/of/7", params) == "/reset/***/of/7"
    assert hide_path("/reset/a b/of/7/", params) == "/reset/***/of/7/"
    assert hide_path("/reports/7", {"customer": "7"}) == "/reports/7"
