"""The parsers of query strings."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.store.listing import ALL_JOBS, JobFilter
from asyncendpoints_gateway.http import queries
from asyncendpoints_gateway.http.problems import Problem


@given(st.text(max_size=60))
def test_a_query_is_read_or_refused(raw: str) -> None:
    for read in (queries.parse, queries.check_utf8, queries.listing):
        with suppress(Problem):
            read(raw)


def test_a_query_is_decoded() -> None:
    assert queries.parse("state=Que%75ed&x=a+b&y&x=2") == {"state": "Queued", "x": "2", "y": ""}
    assert queries.wait_seconds({"wait": "99999"}) == 60
    assert queries.wait_seconds({"wait": "0.5"}) == 0.5
    # Every number of the OpenAPI description, as clients write it.
    assert queries.wait_seconds({"wait": "1e-07"}) == 1e-07
    assert queries.wait_seconds({"wait": "1E+3"}) == 60
    assert queries.wait_seconds({"wait": "12345678901.5"}) == 60
    assert queries.wait_seconds({"wait": "1e999999"}) == 60
    for wrong in ("-1", "nan", "inf", "1e", ".5", "1_0", " 1", "٣"):
        with pytest.raises(Problem):
            queries.wait_seconds({"wait": wrong})
    assert queries.listing("") == (None, 50, None, ALL_JOBS)
    assert queries.listing("tag=b&state=Failed&limit=007&cursor=a-_Z&job=r%C3%A9&tag=a&tag=b") == (
        State.FAILED,
        7,
        "a-_Z",
        JobFilter("ré", ("b", "a")),
    )
