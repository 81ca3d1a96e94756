"""Results that are checked against what their route declares."""

from typing import Any

import pytest

from asyncendpoints_core.jobs.states import State
from asyncendpoints_worker import Result
from support.store.work import new_job, submit, until_final
from support.worker.local import registry, working

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["pages"],
    "properties": {
        "pages": {"type": "integer"},
        "at": {"type": "string", "format": "date-time"},
    },
}
ROUTES: list[dict[str, Any]] = [
    {"path": "/work", "job": "report", "result": {"schema": SCHEMA, "check": True}},
    {"path": "/plain", "job": "plain", "result": {"schema": SCHEMA}},
    {"path": "/csv", "job": "csv", "result": {"contentType": "text/csv", "check": True}},
]


def nested(depth: int) -> Any:
    return {"pages": 1, "x": nested(depth - 1)} if depth else 1


@pytest.mark.parametrize(
    ("job", "value", "message"),
    [
        ("report", {"pages": 3, "at": "2026-01-02T03:04:05Z"}, None),
        (
            "report",
            {"pages": "secret"},
            "the result does not match the route's schema: #/pages must be of type integer",
        ),
        (
            "report",
            {"pages": 3, "at": "yesterday"},
            "the result does not match the route's schema: #/at must be a valid date-time",
        ),
        ("report", None, "the result does not match the route's schema: # must be of type object"),
        ("report", "text", "the result is text/plain, but the route declares application/json"),
        ("report", Result("{", content_type="application/json"), "the result is not JSON: "),
        ("report", nested(101), "the result nests deeper than 100 levels"),
        ("plain", {"pages": "three"}, None),
        ("csv", Result("a,b", content_type="Text/CSV; charset=utf-8"), None),
        ("csv", "a,b", "the result is text/plain, but the route declares text/csv"),
    ],
)
@pytest.mark.parametrize("kind", ["async", "plain", "awaitable"])
async def test_a_result_that_does_not_fit_fails_without_a_retry(
    kind: str, job: str, value: Any, message: str | None
) -> None:
    async def coroutine() -> Any:
        return value

    def plain() -> Any:
        return value

    def awaitable() -> Any:
        return coroutine()

    function = {"async": coroutine, "plain": plain, "awaitable": awaitable}[kind]
    handlers = registry(**{job: function})
    async with working(handlers, routes=ROUTES) as (store, _):
        [ended] = await until_final(store, *await submit(store, new_job(job)))
        if message is None:
            assert ended.state is State.COMPLETED
            return
        assert ended.state is State.FAILED
        assert ended.attempt == 1
        assert ended.error is not None
        assert (ended.error.code, ended.error.retryable) == ("invalid-result", False)
        assert ended.error.message.startswith(message)
        assert "secret" not in ended.error.message
