"""Tables of the commands on terminals of any width."""

import io
from typing import Any

import pytest
from rich.console import Console

from asyncendpoints_cli.remote.output import table
from asyncendpoints_cli.remote.showing import ENDPOINTS, FAILURES, JOBS, WORKERS

ERROR = {"code": "handler-error", "message": "ConnectionError: the mail server refused " * 3}
JOB: dict[str, Any] = {
    **{"id": "01a22a2a-710d-7f14-abb3-702d150e4dc6", "name": "send-invoice", "state": "InProgress"},
    **{"createdAt": "2020-01-01T00:00:00Z", "startedAt": "2020-01-01T00:00:00Z"},
    **{"completedAt": None, "attempt": 2, "maxAttempts": 4, "progress": None, "error": ERROR},
    **{"priority": "normal", "worker": "reports-worker-1", "tags": []},
}
ENDPOINT: dict[str, Any] = {
    **{"namespace": "default", "name": "reports", "used": 1, "slots": 2, "workers": 1},
    **{"jobs": {"Queued": 1_234_567, "InProgress": 2, "Failed": 3}, "suspended": False},
    "paused": ["*"],
}
WORKER: dict[str, Any] = {
    **{"id": "reports-worker-1-a80c9b00.a80c.1.0", "held": 1, "slots": 2, "live": True},
    **{"lastHeartbeatAt": "2020-01-01T00:00:00Z", "draining": True, "cordoned": False},
    **{"running": [{"name": "send-invoice", "id": JOB["id"], "elapsedSeconds": 3}]},
}
FAILURE: dict[str, Any] = {
    **{"count": 12, "job": "send-invoice", "error": "handler-error"},
    "newest": {"completedAt": JOB["createdAt"], "id": JOB["id"], "message": ERROR["message"]},
}


def printed(width: int, *items: dict[str, Any], columns: Any) -> list[str]:
    console = Console(width=width, file=io.StringIO(), markup=False, highlight=False)
    console.print(table(items, columns, width=width))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 1 + len(items)
    assert max(map(len, lines)) <= width
    return lines


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_what_identifies_a_job_is_never_cut(width: int) -> None:
    header, line = printed(width, JOB, columns=JOBS)
    assert header.startswith("ID ")
    assert line.startswith("150e4dc6")
    assert "InProgress" in line
    assert "send-in" in line
    assert "handler" in line
    assert ("2/4" in line) == (width >= 80)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_numbers_and_states_of_the_others_are_never_cut(width: int) -> None:
    _, line = printed(width, ENDPOINT, columns=ENDPOINTS)
    assert {"1234567", "2", "3", "paused"} <= set(line.split())
    _, line = printed(width, WORKER, columns=WORKERS)
    assert {"1/2", "draining"} <= set(line.split())
    _, line = printed(width, FAILURE, columns=FAILURES)
    assert {"12", "150e4dc6"} <= set(line.split())
