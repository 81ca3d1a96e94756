"""What a soak reports about recoveries."""

from typing import Any
from xml.etree import ElementTree as ET

from faults.figures import Injected, memory_chart, recoveries
from support.history.events import parse

SECOND = 1_000_000_000


def line(verb: str, at: float, job: str, claim: int, **fields: Any) -> dict[str, Any]:
    ended = int(at * SECOND)
    return {
        "verb": verb,
        "begun": ended - 1,
        "ended": ended,
        "worker": f"w{claim}",
        "items": [{"job": job, "claim": claim, **fields}],
    }


def test_a_recovery_ends_with_the_next_claim_of_a_job_that_did_not_settle() -> None:
    history = parse(
        [
            line("claim", 1, "interrupted", 1),
            line("claim", 5, "interrupted", 3),
            line("claim", 1, "retried", 2),
            line("settle", 2, "retried", 2, status="applied", kind="RETRY"),
            line("claim", 6, "retried", 4),
        ],
        [],
    )
    injected = [Injected("worker_killed", 3 * SECOND), Injected("network_slow", 4 * SECOND)]
    (found,) = recoveries(history, injected)
    assert found.startswith("claimed again after worker_killed: 1 jobs, median 2.0 s")


def test_the_picture_of_the_memory_has_a_line_for_each_role() -> None:
    found = {role: [(0.0, 70.0), (3_600.0, 70.0)] for role in ("gateway", "supervisor", "child")}
    picture = ET.fromstring(memory_chart(found))  # noqa: S314  # our own
    paths = picture.findall("{http://www.w3.org/2000/svg}path")
    assert len({path.get("stroke") for path in paths}) == 3
    # A flat line: it moves along the time only.
    assert all("V" not in path.get("d", "") for path in paths)
    labels = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {"gateway", "supervisor", "child", "60:00", "80"} <= set(labels)
    # No second scale.
    assert "0.25" not in labels
