"""The gateway's own paths."""

import pytest

from asyncendpoints_core.jobs import ids
from asyncendpoints_gateway.http.problems import Problem
from asyncendpoints_gateway.http.router import Target, is_own, own_target

TEXT = "01a0c450-6c00-7414-acf3-1306ac3fb7e2"
JOB = ids.parse(TEXT)


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("GET", f"/jobs/{TEXT}", "job"),
        ("HEAD", f"/jobs/{TEXT}", "job"),
        ("DELETE", f"/jobs/{TEXT}", "cancel"),
        ("GET", f"/jobs/{TEXT}/result", "result"),
        ("POST", f"/jobs/{TEXT}/retry", "retry"),
    ],
)
def test_paths_of_a_job(method: str, path: str, operation: str) -> None:
    assert own_target(method, path) == Target(operation, JOB)


@pytest.mark.parametrize(
    ("path", "operation"), [("/jobs", "list"), ("/docs", "docs"), ("/openapi.json", "openapi")]
)
def test_paths_without_a_job(path: str, operation: str) -> None:
    assert own_target("GET", path) == Target(operation)
    assert is_own(path)


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/jobs", "GET, HEAD, OPTIONS"),
        (f"/jobs/{TEXT}", "DELETE, GET, HEAD, OPTIONS"),
        (f"/jobs/{TEXT}/retry", "OPTIONS, POST"),
        ("/docs", "GET, HEAD, OPTIONS"),
    ],
)
def test_other_methods_lead_to_the_allowed_ones(path: str, allow: str) -> None:
    for method in ("OPTIONS", "PATCH"):
        assert own_target(method, path) == Target("options", allow=allow)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/nope", "not-found"),
        ("/jobs/", "not-found"),
        ("/docs/x", "not-found"),
        ("*", "not-found"),
        ("h:80", "not-found"),
        ("/jobs/x", "job-not-found"),
        ("/jobs/%ff", "invalid-query"),
        ("/%zz", "invalid-query"),
    ],
)
def test_paths_that_are_refused(path: str, problem: str) -> None:
    with pytest.raises(Problem) as refused:
        own_target("GET", path)
    assert refused.value.name == problem


def test_options_of_the_server_itself() -> None:
    found = own_target("OPTIONS", "*")
    assert found.operation == "options"
    assert found.allow.split(", ") == sorted(found.allow.split(", "))


def test_everything_below_jobs_is_the_gateways_own() -> None:
    assert is_own("/jobs/x/y/z")
    assert not is_own("/jobsx")
    assert not is_own("/docs/x")
