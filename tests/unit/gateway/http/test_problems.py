"""The table of problems."""

from asyncendpoints_core.common.problem_types import TABLE


def test_the_table_of_problems_is_the_contracts() -> None:
    assert {name: kind.status for name, kind in TABLE.items()} == {
        "malformed-body": 400,
        "invalid-header": 400,
        "invalid-query": 400,
        "unauthorized": 401,
        "forbidden": 403,
        "refused": 403,
        "not-found": 404,
        "job-not-found": 404,
        "method-not-allowed": 405,
        "job-failed": 409,
        "job-canceled": 409,
        "job-final": 409,
        "duplicate-job": 409,
        "not-retryable": 409,
        "job-gone": 410,
        "body-too-large": 413,
        "uri-too-long": 414,
        "unsupported-media-type": 415,
        "invalid-body": 422,
        "invalid-key": 422,
        "idempotency-mismatch": 422,
        "key-queue-full": 429,
        "queue-full": 429,
        "headers-too-large": 431,
        "internal": 500,
        "not-implemented": 501,
        "store-unavailable": 503,
        "version-not-supported": 505,
    }
