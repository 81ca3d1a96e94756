"""Paths of ASGI scopes, as servers and frameworks fill them."""

import pytest

from asyncendpoints_gateway.server.asgi.paths import locate


@pytest.mark.parametrize(
    ("path", "raw", "root", "found"),
    [
        # Without a root.
        ("/reports/7", b"/reports/7", "", ("", "/reports/7")),
        ("/reports/a b", b"/reports/a%20b", "", ("", "/reports/a%20b")),
        ("/reports/a/b", b"/reports/a%2Fb", "", ("", "/reports/a%2Fb")),
        ("/reports/7", b"/reports/7?a=b", "", ("", "/reports/7")),
        ("/reports/ü", b"/reports/%C3%BC", "", ("", "/reports/%C3%BC")),
        ("/r/\ufffd", b"/r/%ff", "", ("", "/r/%ff")),
        ("/r/%zz", b"/r/%zz", "", ("", "/r/%zz")),
        # No raw_path: quoted again.
        ("/reports/a b/ü:@", None, "", ("", "/reports/a%20b/%C3%BC:@")),
        ("/api/reports/ü", None, "/api", ("/api", "/reports/%C3%BC")),
        # Starlette's Mount and uvicorn's --root-path: both begin with the root.
        ("/async/reports/7", b"/async/reports/7", "/async", ("/async", "/reports/7")),
        ("/async/a/b", b"/async/a%2Fb", "/async", ("/async", "/a%2Fb")),
        ("/my app/x", b"/my%20app/x", "/my app", ("/my%20app", "/x")),
        ("/async/x", b"/%61sync/x", "/async", ("/async", "/x")),
        ("/async", b"/async", "/async", ("/async", "")),
        ("/async/", b"/async/", "/async/", ("/async", "/")),
        ("/a/b/x/y", b"/%61/b/x%20/y", "/a/b", ("/a/b", "/x/y")),
        # A proxy cut it off before the server: nothing to take off.
        ("/reports/7", b"/reports/7", "/api", ("/api", "/reports/7")),
        ("/asyncreports/7", b"/asyncreports/7", "/async", ("/async", "/asyncreports/7")),
        # Litestar cuts `path` only.
        ("/reports/7", b"/async/reports/7", "", ("/async", "/reports/7")),
        ("/reports/a/b", b"/async/reports/a%2Fb", "", ("/async", "/reports/a%2Fb")),
        ("/reports/7", b"/api/async/reports/7", "/api", ("/api/async", "/reports/7")),
        ("/reports/7", b"/async/reports/7", "/api", ("/api/async", "/reports/7")),
        ("/reports/7/", b"/async/reports/7", "", ("/async", "/reports/7")),
        ("/reports/7/", b"/async/reports/7/", "", ("/async", "/reports/7/")),
        # Rewritten.
        ("/other", b"/reports/7", "", ("", "/other")),
        ("/api/other", b"/reports/7", "/api", ("/api", "/other")),
        ("", b"/async", "/async", ("/async", "")),
    ],
)
def test_the_raw_path_below_the_root(
    path: str, raw: bytes | None, root: str, found: tuple[str, str]
) -> None:
    scope = {"path": path, "root_path": root}
    assert locate(scope if raw is None else {**scope, "raw_path": raw}) == found
