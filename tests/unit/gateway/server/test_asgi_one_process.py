"""The lock against several workers of one server with a memory store each."""

import os
import subprocess
import sys

import pytest

from asyncendpoints_core.errors import UsageError
from asyncendpoints_gateway.server.asgi.one_process import OneProcess

# A child that reports whether it got the lock, then waits for its stdin to close.
CHILD = """
import sys
from asyncendpoints_core.errors import UsageError
from asyncendpoints_gateway.server.asgi.one_process import OneProcess
try:
    OneProcess(sys.argv[1]).acquire()
    print("locked", flush=True)
except UsageError as error:
    print(error, flush=True)
sys.stdin.read()
"""


def child(name: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, name],
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        process.communicate()


def test_the_children_of_one_parent_contend_for_it() -> None:
    first = child("ns/a")
    assert said(first) == "locked"
    others = [child("ns/a"), child("ns/b"), child("ns/a", PYTEST_XDIST_WORKER="gw7")]
    refused, *accepted = [said(other) for other in others]
    assert refused.startswith("another worker of this server has a MemoryStore for ns/a already")
    assert accepted == ["locked"] * 2
    end(first)
    successor = child("ns/a")  # as after a reload
    assert said(successor) == "locked"
    end(*others, successor)


def test_one_process_may_have_it_several_times(tmp_path: object) -> None:
    first, second = OneProcess(f"ns/{tmp_path}"), OneProcess(f"ns/{tmp_path}")
    first.acquire()
    second.acquire()
    second.release()
    first.release()
    first.release()
    assert not first._path.exists()


def test_a_folder_that_cannot_be_written_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/nonexistent")
    lock = OneProcess("ns/a")
    try:
        lock.acquire()
    except UsageError as error:
        pytest.fail(str(error))
    lock.release()
