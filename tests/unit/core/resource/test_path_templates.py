"""Path templates, their conflicts, and the matching of raw paths."""

import itertools
import re
from dataclasses import dataclass
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints_core.errors import TemplateError
from asyncendpoints_core.resource.path_templates import (
    TEMPLATE_PATTERN,
    Malformed,
    Match,
    MethodNotAllowed,
    NotFound,
    Router,
    find_conflicts,
    parse_template,
    reserved_by,
    split_raw_path,
)


@dataclass(frozen=True)
class R:
    path: str
    methods: tuple[str, ...] = ("POST",)


GOOD = [
    "/a",
    "/a/{b}",
    "/reports/{customer}/{year}",
    "/a.b/~c/-_",
    "/v1:run",
    "/a/{_x1}",
    "/a@b,c;d=e",
]

BAD = [
    ("", 'must start with "/"; write "/"'),
    ("a", 'write "/a"'),
    ("/", "at least one segment"),
    ("/a/", 'write "/a"'),
    ("//a", '"//" never matches'),
    ("/a//b", '"//" never matches'),
    ("/a/{b}c", "whole segment"),
    ("/a/{b", "whole segment"),
    ("/a/b}", "whole segment"),
    ("/a/{}", "whole segment"),
    ("/a/{1b}", "whole segment"),
    ("/a/{b-c}", "whole segment"),
    ("/a/{b}{c}", "whole segment"),
    ("/a/{é}", "whole segment"),
    ("/a/{b}/{b}", "duplicate parameter {b}"),
    ("/a/.", "which clients resolve"),
    ("/a/../b", "which clients resolve"),
    ("/a%20b", "without percent"),
    ("/a?b=1", "must not contain a query"),
    ("/a#b", "a query or a fragment"),
    ("/a b", "RFC 3986"),
    ("/é", "RFC 3986"),
    ("/a\n", "RFC 3986"),
    ("/a\\b", "RFC 3986"),
    ("/" + "a" * 600, "at most 512"),
    ("/a" * 33, "at most 32 segments"),
]


@pytest.mark.parametrize("text", GOOD)
def test_good_templates_parse(text: str) -> None:
    assert parse_template(text).text == text
    assert re.search(TEMPLATE_PATTERN, text)


@pytest.mark.parametrize(("text", "reason"), BAD)
def test_bad_templates_say_why(text: str, reason: str) -> None:
    with pytest.raises(TemplateError) as error:
        parse_template(text)
    assert reason in str(error.value)


def test_template_keeps_shape_and_names() -> None:
    template = parse_template("/a/{b}/c/{d}")
    assert template.shape == ("a", None, "c", None)
    assert template.names == ("b", "d")


@pytest.mark.parametrize(
    "text",
    ["/jobs", "/jobs/{id}", "/jobs/a/b/c", "/docs", "/openapi.json", "/{x}", "/{a}/{b}", "/{a}/x"],
)
def test_what_could_match_the_gateways_own_paths_is_reserved(text: str) -> None:
    assert reserved_by(parse_template(text))


@pytest.mark.parametrize("text", ["/jobsearch", "/docs/{x}", "/a/jobs", "/Jobs", "/openapi.json/a"])
def test_other_paths_are_free(text: str) -> None:
    assert reserved_by(parse_template(text)) is None


def test_conflicts_are_of_shape_and_method() -> None:
    routes = [
        R("/a/{x}"),
        R("/a/{y}", ("PUT", "POST")),
        R("/a/b"),
        R("/a/{z}", ("PUT",)),
        R("bad"),
        R("/a/b", ("DELETE",)),
    ]
    assert list(find_conflicts(routes)) == [(0, 1, ("POST",)), (1, 3, ("PUT",))]


ROUTER = Router(
    [
        R("/reports/{customer}", ("POST", "PUT")),
        R("/reports/special"),
        R("/reports/{customer}/items/{item}"),
        R("/reports/special/items"),
        R("/reports/special/{other}", ("PATCH",)),
        R("/plain"),
    ]
)


def matched(method: str, path: str) -> tuple[str, dict[str, str]] | object:
    found = ROUTER.match(method, path)
    return (found.route.path, found.params) if isinstance(found, Match) else found


@pytest.mark.parametrize(
    ("method", "path", "want"),
    [
        ("POST", "/plain", ("/plain", {})),
        ("POST", "/reports/acme", ("/reports/{customer}", {"customer": "acme"})),
        ("POST", "/reports/special", ("/reports/special", {})),
        ("PUT", "/reports/special", ("/reports/{customer}", {"customer": "special"})),
        ("POST", "/reports/special/items", ("/reports/special/items", {})),
        (
            "POST",
            "/reports/special/items/7",
            ("/reports/{customer}/items/{item}", {"customer": "special", "item": "7"}),
        ),
        ("POST", "/reports/a%2Fb", ("/reports/{customer}", {"customer": "a/b"})),
        ("POST", "/reports/a%252Fb", ("/reports/{customer}", {"customer": "a%2Fb"})),
        ("POST", "/reports/a+b%20c", ("/reports/{customer}", {"customer": "a+b c"})),
        ("POST", "/reports/%C3%A9", ("/reports/{customer}", {"customer": "é"})),
        ("POST", "/reports/é", ("/reports/{customer}", {"customer": "é"})),
        ("POST", "/reports/%00", ("/reports/{customer}", {"customer": "\0"})),
        ("POST", "/%72eports/x", ("/reports/{customer}", {"customer": "x"})),
        ("POST", "/reports/..", ("/reports/{customer}", {"customer": ".."})),
    ],
)
def test_a_literal_beats_a_parameter_and_segments_are_decoded_once(
    method: str, path: str, want: tuple[str, dict[str, str]]
) -> None:
    assert matched(method, path) == want


@pytest.mark.parametrize(
    "path",
    ["", "/", "*", "plain", "/plain/", "//plain", "/plain//", "/Plain", "/reports/",
     "/reports//items/x", "/reports/a/items/", "/reports", "/plain%2F", "/plain?x",
     "/reports/a/b/c/d"],
)  # fmt: skip
def test_no_redirects_no_trailing_slash_no_double_slash(path: str) -> None:
    assert ROUTER.match("POST", path) == NotFound()


def test_method_not_allowed_names_every_method_of_the_path() -> None:
    assert ROUTER.match("GET", "/reports/special") == MethodNotAllowed(("POST", "PUT"))
    assert ROUTER.match("post", "/plain") == MethodNotAllowed(("POST",))
    assert ROUTER.match("DELETE", "/reports/special/items") == MethodNotAllowed(("PATCH", "POST"))


@pytest.mark.parametrize(
    "path",
    ["/reports/%FF", "/nowhere/%ff", "/%C3", "/reports/%C3%28", "/reports/%ED%A0%80", "/plain/%",
     "/plain/%4", "/reports/%zz", "/reports/\udcff"],
)  # fmt: skip
def test_what_is_not_utf8_is_malformed_on_any_path(path: str) -> None:
    found = ROUTER.match("POST", path)
    assert isinstance(found, Malformed)
    assert "%" not in found.detail


def test_a_router_refuses_two_routes_for_one_request() -> None:
    with pytest.raises(TemplateError, match="conflicts with another"):
        Router([R("/a/{x}"), R("/a/{y}")])


SEGMENTS = st.sampled_from(["a", "b", "c", "{p}"])
PATHS = st.lists(SEGMENTS, min_size=1, max_size=4).map(lambda s: "/r/" + "/".join(s))


def unique_names(path: str) -> str:
    numbers = itertools.count()
    return "/".join(f"{{p{next(numbers)}}}" if s == "{p}" else s for s in path.split("/"))


@given(st.sets(PATHS, max_size=12), st.lists(st.sampled_from("abcd"), min_size=1, max_size=4))
def test_the_tree_finds_what_a_scan_of_all_routes_finds(
    templates: set[str], segments: list[str]
) -> None:
    routes = [R(unique_names(path)) for path in templates]
    fitting = [
        (tuple(s.startswith("{") for s in r.path.split("/")[2:]), r)
        for r in routes
        if len(r.path.split("/")[2:]) == len(segments)
        and all(
            t.startswith("{") or t == s
            for t, s in zip(r.path.split("/")[2:], segments, strict=True)
        )
    ]
    found = Router(routes).match("POST", "/r/" + "/".join(segments))
    if not fitting:
        assert found == NotFound()
    else:  # False (a literal) sorts before True, leftmost first
        assert isinstance(found, Match)
        assert found.route == min(fitting, key=lambda pair: pair[0])[1]


@given(st.lists(st.text(max_size=5), min_size=1, max_size=4))
def test_encoded_segments_come_back(segments: list[str]) -> None:
    try:
        raw = "/" + "/".join(quote(s, safe="") for s in segments)
    except UnicodeEncodeError:  # a lone surrogate has no encoding
        return
    assert split_raw_path(raw) == segments
