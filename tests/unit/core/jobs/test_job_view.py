"""The JSON of a job."""

import json

from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints_core.common.time_source import rfc3339
from asyncendpoints_core.jobs import ids, job_view
from asyncendpoints_core.jobs.ids import JobId
from asyncendpoints_core.jobs.records import Attempt, Attributes, Job, JobError, Priority, Progress
from asyncendpoints_core.jobs.states import State
from support.http import jobs
from support.http.jobs import NOW


@given(st.integers(min_value=1, max_value=4_102_444_800_000))
def test_timestamps_are_rfc3339(ms: int) -> None:
    assert job_view.timestamp(ms) == rfc3339(ms)


def test_an_unset_time_is_null() -> None:
    assert job_view.timestamp(0) is None


@given(
    st.builds(
        jobs.job,
        name=st.text(min_size=1, max_size=20),
        state=st.sampled_from([State.QUEUED, State.SCHEDULED]),
        priority=st.sampled_from(Priority),
        max_attempts=st.integers(1, 100),
        not_before_ms=st.sampled_from([0, NOW + 5]),
        expires_at_ms=st.sampled_from([0, NOW + 86_400_000]),
        updated_ms=st.sampled_from([NOW, NOW + 1]),
    ),
    st.sampled_from(["", "/api/v1"]),
)
def test_the_json_of_a_new_job(job: Job, base: str) -> None:
    here = f"{base}/jobs/{ids.text(job.id)}"
    assert json.loads(job_view.encode_job(job, here)) == {
        "id": ids.text(job.id),
        "name": job.name,
        "state": job.state.value,
        "attempt": 0,
        "maxAttempts": job.max_attempts,
        "crashes": 0,
        "priority": job.priority.name.lower(),
        "progress": None,
        "error": None,
        "attempts": [],
        "createdAt": rfc3339(NOW),
        "notBefore": rfc3339(job.not_before_ms) if job.not_before_ms else None,
        "startedAt": None,
        "completedAt": None,
        "updatedAt": rfc3339(job.updated_ms),
        "expiresAt": rfc3339(job.expires_at_ms) if job.expires_at_ms else None,
        "cancelRequestedAt": None,
        "tags": [],
        "key": None,
        "parent": None,
        "schedule": None,
        "links": {
            "self": here,
            "result": f"{here}/result",
            "cancel": here,
            "retry": f"{here}/retry",
        },
    }


def test_the_progress_of_a_completed_job_is_1() -> None:
    for state, fraction in ((State.COMPLETED, 1), (State.FAILED, 0.8), (State.CANCELED, 0.8)):
        job = jobs.job(state=state, progress=Progress(0.8, "nearly"))
        shown = json.loads(job_view.encode_job(job, f"/jobs/{ids.text(job.id)}"))
        assert shown["progress"] == {"fraction": fraction, "message": "nearly"}


def test_a_job_with_everything() -> None:
    error = JobError("handler-error", 'a "quoted" message', retryable=True)
    job = jobs.job(
        state=State.SCHEDULED,
        attempt=2,
        revision=9,
        progress=Progress(0.5, "half"),
        error=error,
        attempts=(Attempt(1, NOW, NOW + 1, "retry", error),),
        started_ms=NOW,
        completed_ms=NOW + 2,
        cancel_requested_ms=NOW + 3,
        attributes=Attributes(("a", "b"), "acme", JobId(bytes(16)), "nightly", NOW),
    )
    shown = json.loads(job_view.encode_job(job, f"/x/jobs/{ids.text(job.id)}"))
    assert shown["progress"] == {"fraction": 0.5, "message": "half"}
    assert shown["attempts"] == [
        {
            "number": 1,
            "startedAt": rfc3339(NOW),
            "endedAt": rfc3339(NOW + 1),
            "outcome": "retry",
            "error": shown["error"],
        }
    ]
    assert shown["links"]["retry"] == f"/x/jobs/{ids.text(job.id)}/retry"
    assert shown["cancelRequestedAt"] == rfc3339(NOW + 3)
    assert (shown["tags"], shown["key"], shown["schedule"]) == (["a", "b"], "acme", "nightly")
    assert shown["parent"] == "00000000-0000-0000-0000-000000000000"
