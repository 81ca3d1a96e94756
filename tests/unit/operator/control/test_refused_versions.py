"""Workers that refuse the format of their store: from their last words to condition and scaling."""

from pathlib import Path
from typing import Any

import pytest

from asyncendpoints_core.errors import StoreVersionError, UsageError
from asyncendpoints_core.process.exit_report import MAX_BYTES, leave, version_refused
from asyncendpoints_core.scaling.decide import Limits, Memory, Reason, decide
from asyncendpoints_core.scaling.signals import Signals
from asyncendpoints_operator.control.scale_plan import loads, workers_for
from asyncendpoints_operator.kube.pod_state import (
    VERSION_UNSUPPORTED,
    Issue,
    read_pod,
    refusing_version,
)

SENTENCE = "the store in Redis is of format 2, asyncendpoints 0.1.0 reads format 1"
WORDS = f"StoreVersionError: {SENTENCE}"
ENDED = {"terminated": {"exitCode": 1, "reason": "Error", "message": WORDS}}
RESTING: dict[str, Any] = {"waiting": {"reason": "CrashLoopBackOff"}}


def pod(pod_name: str = "a", **container: Any) -> dict[str, Any]:
    """A worker's pod whose container ended by a refusal, with changes."""
    status = {"name": "worker", "ready": False, "restartCount": 1, "lastState": ENDED}
    return {
        "metadata": {
            "name": pod_name,
            "uid": f"uid-{pod_name}",
            "annotations": {"asyncendpoints.io/template": "now"},
        },
        "spec": {"nodeName": "node"},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "False"}],
            "containerStatuses": [{**status, **container}],
        },
    }


def test_the_last_words_are_one_short_line(tmp_path: Path) -> None:
    file = tmp_path / "termination-log"
    file.write_text("of an earlier end")
    leave(StoreVersionError(SENTENCE), file)
    assert version_refused(file.read_text()) == SENTENCE
    leave(UsageError("worker.handlers:\nno module " + "ä" * MAX_BYTES), file)
    assert file.read_bytes().startswith(b"UsageError: worker.handlers: no module \xc3\xa4")
    assert file.stat().st_size == MAX_BYTES
    assert version_refused(file.read_text(errors="replace")) == ""


def test_outside_a_pod_nothing_is_written(tmp_path: Path) -> None:
    leave(StoreVersionError(SENTENCE), tmp_path / "termination-log")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "container",
    [
        {"state": RESTING},
        {"state": ENDED, "lastState": {}},
        {"state": {"running": {}}},  # started again, and not ready so far
        {"state": RESTING, "restartCount": 7},
    ],
)
def test_a_pod_refuses_until_it_is_ready(container: dict[str, Any]) -> None:
    found = read_pod(pod(**container))
    assert found.issue == Issue(VERSION_UNSUPPORTED, SENTENCE)
    assert refusing_version([found]) == (SENTENCE,)


@pytest.mark.parametrize(
    "container",
    [
        {"state": {"running": {}}, "ready": True},
        {"state": RESTING, "lastState": {"terminated": {"exitCode": 1, "message": "OSError: no"}}},
        {"state": RESTING, "name": "target"},  # the user's own container may say what it likes
        {"state": RESTING, "lastState": {}},
    ],
)
def test_others_do_not(container: dict[str, Any]) -> None:
    assert refusing_version([read_pod(pod(**container))]) == ()


def test_those_that_are_on_their_way_out_do_not_count() -> None:
    leaving = pod(state=RESTING)
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    evicted = pod(state=ENDED)
    evicted["status"]["phase"] = "Failed"
    assert refusing_version(map(read_pod, (leaving, evicted))) == ()


def test_workers_that_refuse_are_not_added_to() -> None:
    found = loads([read_pod(pod(state=RESTING))], [], 0)
    workers = workers_for(found, "now")
    signals = Signals(0, 500, 0, 0, 0, 0, 0, 0, 1, workers, 4)
    decision = decide(signals, Memory(), Limits())
    assert (decision.replicas, decision.reason) == (1, Reason.NOT_READY)
