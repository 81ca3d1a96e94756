"""The status: what each condition says in each situation, and when it is written."""

import dataclasses
from typing import Any

import msgspec
import pytest

from asyncendpoints_core import __version__
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.policy import CLIENTS
from asyncendpoints_core.jobs.records import Job, JobError, Priority
from asyncendpoints_core.jobs.schedules import ScheduleState
from asyncendpoints_core.jobs.states import State
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.resource.webhooks import Webhook, hash4, receiver_part
from asyncendpoints_core.scaling.decide import Reason
from asyncendpoints_core.store.deliveries import ReceiverState, WebhookStatus
from asyncendpoints_core.store.replies import Stats, WorkerInfo, WorkerState
from asyncendpoints_operator.kube.pod_state import NO_DEPLOYMENT, Deployment, Issue
from asyncendpoints_operator.status.build import (
    Budget,
    Status,
    Urgency,
    build,
    counts_interval,
    decide_write,
    failure_of,
    patch_of,
    time_text,
    urgency,
)
from asyncendpoints_operator.status.conditions import conditions
from asyncendpoints_operator.status.events import of_change
from asyncendpoints_operator.status.finding import condition_of
from asyncendpoints_operator.status.model import EndpointStatus
from asyncendpoints_operator.status.observed import (
    Observed,
    Queue,
    QueueReason,
    Refusal,
    RefusalReason,
    Scaling,
)
from asyncendpoints_operator.status.worker_reports import jobs_without_handler, recent_crashes
from support.resources import resource

NOW = 1_800_000_000.0
REACHABLE = Queue(
    QueueReason.REACHABLE,
    identity="redis.demo:6379/0",
    stats=Stats(now_ms=0, counts={State.QUEUED: 2, State.FAILED: 1}, by_name={}, totals={}),
)
PAUSED = dataclasses.replace(
    REACHABLE, stats=Stats(now_ms=0, counts={State.QUEUED: 2}, by_name={}, totals={}, paused=True)
)
JOB_PAUSED = dataclasses.replace(
    REACHABLE, stats=Stats(now_ms=0, counts={}, by_name={}, totals={}, paused_jobs=("report",))
)


def deployment(wanted: int, ready: int | None = None, **more: Any) -> Deployment:
    """A Deployment whose controller is up to date; every wanted pod is ready by default."""
    ready = wanted if ready is None else ready
    values = {
        "wanted": wanted,
        "generation": 1,
        "observed": 1,
        "replicas": wanted,
        "updated": wanted,
        "ready": ready,
        "available": ready,
        "exists": True,
    }
    return Deployment(**{**values, **more})


def observed(spec: dict[str, Any] | None = None, **more: Any) -> Observed:
    """A healthy endpoint at zero workers, with changes."""
    values: dict[str, Any] = {
        "generation": 1,
        "endpoint": AsyncEndpoint.parse(resource(**(spec or {}))),
        "gateway": deployment(2),
        "worker": deployment(0),
        "queue": REACHABLE,
        "scaling": Scaling(0, Reason.STEADY, "kept at 0: 0 queued, 0 running"),
        "url": "http://reports.demo.svc",
        "selector": "a=b",
    }
    return Observed(**{**values, **more})


def hook(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "url": f"https://{name}.example.com/",
        "secrets": {"secretRef": {"name": "hooks", "key": name}},
    }


HOOKS: dict[str, Any] = {
    "webhooks": [hook("billing"), hook("chat")],
    "webhookRequests": {"secrets": {"secretRef": {"name": "hooks", "key": "clients"}}},
}


def state(name: str = "billing", **more: Any) -> ReceiverState:
    """The state of a webhook, as the store has it."""
    part = receiver_part(Webhook.model_validate(hook(name)))
    return ReceiverState(b"host" + part, name, **more)


def webhooks(*receivers: ReceiverState) -> Queue:
    """A queue with these receivers."""
    return dataclasses.replace(REACHABLE, webhooks=WebhookStatus(0, 3, 0, 0, receivers))


def found(these: Observed, before: Status | None = None) -> dict[str, tuple[str, str]]:
    return {f.type: (f.status, f.reason) for f in conditions(these, before)}


def message(these: Observed, kind: str, before: Status | None = None) -> str:
    return next(f.message for f in conditions(these, before) if f.type == kind)


OLD = "the store in Redis is of format 2, asyncendpoints 0.0.9 reads format 1"
BAD_IMAGE = Issue("ImagePullBackOff", "container worker: no such image")


def test_a_limit_for_a_job_that_handlers_may_enqueue_is_no_warning() -> None:
    assert "JobsUnmatched" not in found(
        observed({"limits": {"perJob": [{"job": "send-mail", "concurrency": 1}]}})
    )


def test_what_was_not_created_is_neither_starting_nor_scaled_to_zero() -> None:
    refusal = Refusal("Deployment", "reports-worker", RefusalReason.REFUSED, "no such field")
    for why in ({"refusals": (refusal,)}, {"faults": ("spec.routes: wrong",)}):
        these = observed(gateway=NO_DEPLOYMENT, worker=NO_DEPLOYMENT, **why)
        assert found(these)["GatewayAvailable"] == ("False", "NotCreated")
        assert found(these)["WorkersAvailable"] == ("False", "NotCreated")
        assert found(these)["Ready"] == ("False", found(these)["Degraded"][1])


def test_a_healthy_endpoint_at_zero_workers_is_ready() -> None:
    assert found(observed()) == {
        "Ready": ("True", "Serving"),
        "Progressing": ("False", "Settled"),
        "Degraded": ("False", "AsExpected"),
        "GatewayAvailable": ("True", "GatewayReady"),
        "WorkersAvailable": ("True", "ScaledToZero"),
        "QueueReachable": ("True", "Reachable"),
        "ScalingActive": ("True", "Steady"),
        "RoutesAccepted": ("True", "Accepted"),
    }


SITUATIONS: dict[str, tuple[Observed, dict[str, tuple[str, str]]]] = {
    "scaling from zero stays ready": (
        observed(worker=deployment(1, 0)),
        {
            "Ready": ("True", "Serving"),
            "WorkersAvailable": ("False", "WorkersStarting"),
            "Progressing": ("True", "Starting"),
        },
    ),
    "a minimum that is not there yet": (
        observed({"autoscaling": {"minReplicas": 1}}, worker=deployment(1, 0)),
        {"Ready": ("False", "WorkersStarting")},
    ),
    "a pin that is not there yet": (
        observed({"replicas": 2}, worker=deployment(2, 0)),
        {"Ready": ("False", "WorkersStarting"), "ScalingActive": ("False", "Pinned")},
    ),
    "pinned to zero": (
        observed({"replicas": 0}),
        {"Ready": ("True", "Serving"), "WorkersAvailable": ("True", "Pinned")},
    ),
    "suspended": (
        observed({"suspend": True}),
        {
            "Ready": ("True", "Suspended"),
            "WorkersAvailable": ("True", "Suspended"),
            "ScalingActive": ("False", "Suspended"),
        },
    ),
    "paused": (
        observed(queue=PAUSED),
        {
            "Ready": ("True", "Paused"),
            "WorkersAvailable": ("True", "Paused"),
            "ScalingActive": ("False", "Paused"),
        },
    ),
    "one job paused": (
        observed(queue=JOB_PAUSED),
        {"Ready": ("True", "Paused"), "WorkersAvailable": ("True", "ScaledToZero")},
    ),
    "gateway stopped": (
        observed({"gateway": {"replicas": 0}}, gateway=deployment(0)),
        {"Ready": ("False", "GatewayStopped"), "GatewayAvailable": ("False", "GatewayStopped")},
    ),
    "gateway starting": (
        observed(gateway=deployment(2, 0)),
        {
            "Ready": ("False", "GatewayStarting"),
            "Progressing": ("True", "Starting"),
            "Degraded": ("False", "AsExpected"),
        },
    ),
    "gateway that cannot be pulled": (
        observed(gateway=deployment(2, 0), gateway_issue=BAD_IMAGE),
        {
            "Ready": ("False", "ImagePullBackOff"),
            "GatewayAvailable": ("False", "ImagePullBackOff"),
            "Degraded": ("True", "ImagePullBackOff"),
        },
    ),
    "workers that cannot be pulled": (
        observed(worker=deployment(1, 0), worker_issue=BAD_IMAGE),
        {
            "Ready": ("False", "ImagePullBackOff"),
            "WorkersAvailable": ("False", "ImagePullBackOff"),
            "Degraded": ("True", "ImagePullBackOff"),
            "GatewayAvailable": ("True", "GatewayReady"),
        },
    ),
    "a new image that cannot be pulled while the old one works": (
        observed(worker=deployment(2, 2, replicas=3, updated=1), worker_issue=BAD_IMAGE),
        {
            "Ready": ("False", "ImagePullBackOff"),
            "WorkersAvailable": ("True", "WorkersReady"),
            "Progressing": ("True", "RollingOut"),
            "Degraded": ("True", "ImagePullBackOff"),
        },
    ),
    "a rollout": (
        observed(worker=deployment(2, 2, replicas=3, updated=1)),
        {"Ready": ("False", "RollingOut"), "Progressing": ("True", "RollingOut")},
    ),
    "queue not read yet": (
        observed(queue=Queue()),
        {"Ready": ("Unknown", "NotYetRead"), "QueueReachable": ("Unknown", "NotYetRead")},
    ),
    "queue unreachable": (
        observed(queue=Queue(QueueReason.UNREACHABLE, "timed out"), worker=deployment(3)),
        {
            "Ready": ("False", "Unreachable"),
            "QueueReachable": ("False", "Unreachable"),
            "ScalingActive": ("False", "QueueUnreachable"),
            "WorkersAvailable": ("True", "WorkersReady"),
        },
    ),
    "queue moved": (
        observed(queue=Queue(QueueReason.MOVED, identity="old:6379/0")),
        {"Ready": ("False", "QueueMoved"), "QueueReachable": ("False", "QueueMoved")},
    ),
    "not durable": (
        observed(queue=Queue(QueueReason.REACHABLE, durable=False)),
        {"Ready": ("True", "Serving"), "QueueNotDurable": ("True", "PersistenceOff")},
    ),
    "durability not readable": (
        observed(queue=Queue(QueueReason.REACHABLE, durable=None)),
        {"QueueNotDurable": ("Unknown", "NotReadable")},
    ),
    "no user of its own": (
        observed(queue=Queue(QueueReason.REACHABLE, shared=True)),
        {"Ready": ("True", "Serving"), "QueueShared": ("True", "AclOff")},
    ),
    "webhooks": (observed(HOOKS, queue=webhooks()), {"WebhooksHealthy": ("True", "Delivering")}),
    "a receiver fails": (
        observed(HOOKS, queue=webhooks(state(failures=1, status=500))),
        {"Ready": ("True", "Serving"), "WebhooksHealthy": ("False", "Failing")},
    ),
    "a receiver is gone, another waits for its secret": (
        observed(HOOKS, queue=webhooks(state(gone=True, failures=1), state("chat", status=1))),
        {"WebhooksHealthy": ("False", "SecretInvalid")},
    ),
    "what fails is no receiver of the resource": (
        observed(
            HOOKS,
            queue=webhooks(
                state("old", failures=9),
                ReceiverState(b"host" + hash4("https://x"), CLIENTS, failures=9),
            ),
        ),
        {"WebhooksHealthy": ("True", "Delivering")},
    ),
    "clients' receivers have no secret": (
        observed(
            HOOKS, queue=webhooks(ReceiverState(b"host" + hash4("https://x"), CLIENTS, status=1))
        ),
        {"WebhooksHealthy": ("False", "SecretInvalid")},
    ),
    "webhooks of a queue that cannot be read": (
        observed(HOOKS, queue=Queue(QueueReason.UNREACHABLE)),
        {"WebhooksHealthy": ("Unknown", "Unreachable")},
    ),
    "a limit for a job that is misspelt": (
        observed({"limits": {"perJob": [{"job": "buildreports", "concurrency": 1}]}}),
        {"Ready": ("True", "Serving"), "JobsUnmatched": ("True", "NoSuchJob")},
    ),
    "a limit for a job that the container cannot enqueue": (
        observed(
            {
                "limits": {"perJob": [{"job": "x", "concurrency": 1}]},
                "worker": {"handlers": None, "http": {"port": 3000}},
            }
        ),
        {"JobsUnmatched": ("True", "NoSuchJob")},
    ),
    "workers too old": (
        observed(
            worker=deployment(2, 0),
            worker_issue=Issue("WorkerVersionUnsupported", OLD),
            unsupported=(OLD, OLD),
        ),
        {
            "Ready": ("False", "WorkerVersionUnsupported"),
            "WorkersAvailable": ("False", "WorkerVersionUnsupported"),
            "WorkerVersionUnsupported": ("True", "OtherFormat"),
            "Degraded": ("True", "WorkerVersionUnsupported"),
        },
    ),
    "name taken": (
        observed(
            refusals=(Refusal("Service", "reports", RefusalReason.NAME_CONFLICT, "not ours"),)
        ),
        {"Ready": ("False", "NameConflict"), "Degraded": ("True", "NameConflict")},
    ),
    "spec refused": (
        observed(endpoint=None, faults=("spec.routes[1].path: POST conflicts",)),
        {
            "Ready": ("False", "InvalidSpec"),
            "RoutesAccepted": ("False", "InvalidSpec"),
            "Degraded": ("True", "InvalidSpec"),
        },
    ),
    "workers leaving": (
        observed(worker=deployment(1, 1, replicas=3, updated=3)),
        {"Ready": ("True", "Serving"), "Progressing": ("True", "ScalingDown")},
    ),
    "no decision yet": (
        observed(scaling=Scaling()),
        {"ScalingActive": ("Unknown", "NotYetDecided")},
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_conditions(name: str) -> None:
    these, expected = SITUATIONS[name]
    assert found(these).items() >= expected.items()


def test_without_receivers_there_is_no_condition_of_them() -> None:
    assert "WebhooksHealthy" not in found(observed())


def test_failing_receivers_are_named_with_their_answers_and_recover_with_an_event() -> None:
    failing = observed(
        HOOKS, queue=webhooks(state(failures=2, status=503), state("chat", gone=True, failures=1))
    )
    text = message(failing, "WebhooksHealthy")
    assert "billing: it answers 503" in text
    assert "chat: it answered 410" in text
    broken, well = build(failing, None, NOW), build(observed(HOOKS, queue=webhooks()), None, NOW)
    assert [e.reason for e in of_change(well, broken)] == ["WebhookFailing"]
    assert [e.reason for e in of_change(broken, well)] == ["WebhooksDelivering"]


def test_a_refused_format_is_reported_with_both_versions_and_the_fix() -> None:
    handlers = message(observed(unsupported=(OLD,)), "WorkerVersionUnsupported")
    assert handlers.startswith(f"1 worker refuses jobs: {OLD}; ")
    assert f"build the worker image on asyncendpoints/worker:{__version__}" in handlers
    http = {"worker": {"http": {"port": 80}, "handlers": None}}
    replaced = message(observed(http, unsupported=(OLD, OLD)), "WorkerVersionUnsupported")
    assert replaced.startswith(f"2 workers refuse jobs: {OLD}; ")
    assert "replaces their container" in replaced
    unread = Queue(QueueReason.NEWER_FORMAT, "newer")
    text = message(observed(queue=unread, unsupported=(OLD,)), "WorkerVersionUnsupported")
    assert "upgrade the operator" in text


def test_every_status_has_the_schema_of_the_crd() -> None:
    for these, _ in SITUATIONS.values():
        EndpointStatus.model_validate(build(these, None, NOW), by_alias=True, by_name=False)


def test_ready_does_not_flicker_with_a_scaling_step() -> None:
    settled = build(observed(worker=deployment(1)), None, NOW)
    stepped = observed(worker=deployment(2, 1, generation=2, replicas=1, updated=1))
    assert found(stepped, settled)["Ready"] == ("True", "Serving")


def test_after_a_change_ready_waits_for_the_controllers() -> None:
    settled = build(observed(worker=deployment(1)), None, NOW)
    seen = observed(worker=deployment(1, generation=2), generation=2)
    rolling = build(seen, settled, NOW)
    assert found(seen, settled)["Ready"] == ("False", "RollingOut")
    # It stays so when the status is computed again before the controller has looked.
    assert found(seen, rolling)["Ready"] == ("False", "RollingOut")
    done = observed(worker=deployment(1, generation=2, observed=2), generation=2)
    assert found(done, rolling)["Ready"] == ("True", "Serving")


def test_what_redis_warns_of_is_shown() -> None:
    warned = Queue(QueueReason.REACHABLE, identity="r:1/0", warnings=("evicts jobs", "a replica"))
    assert (
        message(observed(queue=warned), "QueueReachable")
        == "r:1/0 is reachable; evicts jobs; a replica"
    )


def test_without_pods_a_new_template_replaces_none() -> None:
    before = build(observed(), None, NOW)
    unseen = observed(worker=deployment(0, generation=2), generation=2)
    after = build(unseen, before, NOW)
    assert found(unseen, before)["Ready"] == ("True", "Serving")
    assert of_change(before, after) == []
    seen = observed(worker=deployment(0, generation=2, observed=2), generation=2)
    assert of_change(after, build(seen, after, NOW)) == []


def test_a_pin_names_who_wrote_it_and_how_to_take_it_away() -> None:
    text = message(observed({"replicas": 3}, pinned_by="kubectl"), "ScalingActive")
    assert "3, set by kubectl" in text
    assert "asyncendpoints unpin" in text


def test_a_moved_queue_says_how_to_confirm() -> None:
    text = message(
        observed(queue=Queue(QueueReason.MOVED, identity="old:6379/0")), "QueueReachable"
    )
    assert "leaveQueue: old:6379/0" in text


def test_counts_and_times_come_from_the_queue() -> None:
    stats = Stats(
        now_ms=0,
        counts={State.QUEUED: 4, State.IN_PROGRESS: 1, State.CANCELED: 2},
        by_name={},
        totals={},
        oldest_ms=1_700_000_000_999,
    )
    status = build(observed(queue=Queue(QueueReason.REACHABLE, stats=stats)), None, NOW)
    assert status["jobs"] == {
        "queued": 4,
        "scheduled": 0,
        "inProgress": 1,
        "completed": 0,
        "failed": 0,
        "canceled": 2,
    }
    assert status["oldestQueuedTime"] == "2023-11-14T22:13:20Z"


def test_schedules_show_their_last_and_next_time() -> None:
    hourly = {"name": "hourly", "cron": "0 * * * *", "job": "a"}
    spec = {"schedules": [{**hourly, "name": "off", "suspend": True}, hourly]}
    states = (ScheduleState("hourly", "h", 1_700_000_000_000, 1_699_999_200_000),)
    stats = Stats(1_700_000_000_000, {}, {}, {}, schedules=states)
    these = observed(spec, queue=Queue(QueueReason.REACHABLE, stats=stats))
    status = build(these, None, NOW)
    assert status["schedules"] == [
        {
            "name": "hourly",
            "lastTime": "2023-11-14T22:00:00Z",
            "nextTime": "2023-11-14T23:00:00Z",
        },
        {"name": "off"},
    ]
    unread = observed(spec, queue=Queue(QueueReason.UNREACHABLE, "refused"))
    assert build(unread, status, NOW)["schedules"] == status["schedules"]
    assert "schedules" not in build(observed(), status, NOW)


def test_an_error_is_never_read_as_zero() -> None:
    before = build(observed(), None, NOW)
    after = build(observed(queue=Queue(QueueReason.UNREACHABLE, "refused")), before, NOW + 60)
    assert after["jobs"] == before["jobs"]
    assert after["queue"] == "redis.demo:6379/0"
    assert "jobs" not in build(observed(queue=Queue()), None, NOW)


def test_the_transition_time_changes_with_the_status_only() -> None:
    first = build(observed(gateway=deployment(2, 0)), None, NOW)
    later = build(observed(gateway=deployment(2, 0), gateway_issue=BAD_IMAGE), first, NOW + 60)
    assert condition_of(later, "Ready") == {
        "type": "Ready",
        "status": "False",
        "reason": "ImagePullBackOff",
        "message": BAD_IMAGE.message,
        "lastTransitionTime": time_text(NOW),
        "observedGeneration": 1,
    }
    ready = build(observed(), later, NOW + 120)
    condition = condition_of(ready, "Ready")
    assert condition is not None
    assert condition["lastTransitionTime"] == time_text(NOW + 120)


def failed(text: str, message: str) -> Job:
    job_id = ids.parse(text)
    assert job_id is not None
    state = State.FAILED, Priority.NORMAL
    job = Job(job_id, "build-report", *state, 4, 4, 0, 0, 9, "w", 3, 0, 0)
    error = JobError("permanent", message, False)
    return msgspec.structs.replace(job, completed_ms=1_500, error=error)


def test_a_failure_is_shown_under_the_id_that_clients_know() -> None:
    text = "0190a5b2-7c11-7d4e-8f00-0123456789ab"
    failure = failure_of(failed(text, "no"))
    shown = {"id": text, "job": "build-report", "code": "permanent", "message": "no"}
    assert failure.model_dump() == {**shown, "time": "1970-01-01T00:00:01Z"}
    status = build(observed({"reportFailures": True}, failures=(failure,)), None, NOW)
    EndpointStatus.model_validate(status, by_alias=True, by_name=False)


def test_recent_failures_are_off_by_default_few_and_short() -> None:
    one = failure_of(failed("0190a5b2-7c11-7d4e-8f00-0123456789ab", "m" * 999))
    failures = tuple(one.model_copy(update={"id": f"id-{n}"}) for n in range(9))
    assert "recentFailures" not in without_empty(build(observed(failures=failures), None, NOW))
    shown = build(observed({"reportFailures": True}, failures=failures), None, NOW)[
        "recentFailures"
    ]
    assert [failure["id"] for failure in shown] == ["id-0", "id-1", "id-2", "id-3", "id-4"]
    assert all(len(failure["message"]) == 256 for failure in shown)


def without_empty(status: Status) -> Status:
    return {key: value for key, value in status.items() if value not in ([], "", None)}


def test_a_long_refusal_is_shortened() -> None:
    long = Refusal("Deployment", "reports-worker", RefusalReason.REFUSED, "x" * 9_999)
    status = build(observed(refusals=(long,)), None, NOW)
    for condition in status["conditions"]:
        assert len(condition["message"]) <= 1_024


def test_patch_of_nothing_is_nothing() -> None:
    status = build(observed(), None, NOW)
    assert patch_of(status, build(observed(), status, NOW + 5)) == {}
    assert urgency(status, build(observed(), status, NOW + 5)) is Urgency.NONE


def test_a_patch_has_only_what_changed_and_takes_away_what_is_gone() -> None:
    before = {"a": 1, "b": [1, 2], "oldestQueuedTime": "x"}
    assert patch_of(before, {"a": 1, "b": [1]}) == {"b": [1], "oldestQueuedTime": None}


def counted(queued: int, **more: Any) -> Observed:
    stats = Stats(now_ms=0, counts={State.QUEUED: queued}, by_name={}, totals={})
    return observed(queue=Queue(QueueReason.REACHABLE, stats=stats), **more)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (counted(6), Urgency.SOON),
        (counted(5, worker=deployment(1)), Urgency.NOW),
        (counted(5, scaling=Scaling(1, Reason.UP, "0 → 1")), Urgency.NOW),
        (counted(5, scaling=Scaling(0, Reason.COOLING, "kept")), Urgency.SOON),
        (counted(5, generation=2), Urgency.NOW),
        (counted(5, gateway=deployment(2, 1)), Urgency.NOW),  # Progressing
        (observed(queue=Queue(QueueReason.UNREACHABLE)), Urgency.NOW),
    ],
)
def test_what_changed_decides_how_soon_it_is_written(change: Observed, expected: Urgency) -> None:
    before = build(counted(5), None, NOW)
    assert urgency(before, build(change, before, NOW)) is expected


def test_the_first_status_is_urgent() -> None:
    assert urgency(None, build(observed(), None, NOW)) is Urgency.NOW


def test_the_figures_of_a_decision_that_stands_write_nothing() -> None:
    before = build(observed(), None, NOW)
    again = observed(
        scaling=Scaling(0, Reason.STEADY, "kept at 0: 0 queued, 0 running, 2 s per job")
    )
    assert patch_of(before, build(again, before, NOW)) == {}


def test_counts_wait_longer_the_more_endpoints_change() -> None:
    assert [counts_interval(n, 1) for n in (1, 50, 100, 300, 5_000)] == [1, 1, 2, 6, 10]
    assert counts_interval(100, 5) == 5  # a setting


def test_counts_wait_and_then_for_the_budget() -> None:
    before = build(counted(5), None, NOW)
    after = build(counted(6), before, NOW)
    full, empty = Budget(), Budget(tokens=0, at=100)

    def write(last: float | None, budget: Budget) -> tuple[bool, float | None]:
        made = decide_write(before, after, now=100, last_write=last, budget=budget, interval=10)
        return made.now, made.retry_in

    assert write(None, full) == (True, None)
    assert write(94, full) == (False, 4)
    assert write(90, full) == (True, None)
    assert write(90, empty) == (False, 1 / empty.per_second)


def test_conditions_wait_for_nothing() -> None:
    before = build(observed(), None, NOW)
    after = build(observed(gateway=deployment(2, 0)), before, NOW)
    empty = Budget(tokens=0, at=100)
    made = decide_write(before, after, now=100, last_write=100, budget=empty, interval=10)
    assert made.now
    assert made.budget.tokens == -1


def test_the_budget_fills_up_to_its_capacity() -> None:
    budget = Budget(per_second=2, capacity=5, tokens=0, at=0)
    allowed, budget = budget.take(0.4, urgent=False)
    assert not allowed
    allowed, budget = budget.take(100, urgent=False)
    assert allowed
    assert budget.tokens == 4


def worker_of(*handlers: str, pod: str = "new", crash: str = "", at_ms: int = 0) -> WorkerState:
    info = WorkerInfo("w", pod, "n", 1, handlers, last_crash=crash, last_crash_ms=at_ms)
    return WorkerState(info, 0, 0)


def test_a_job_without_a_handler_is_named() -> None:
    endpoint = AsyncEndpoint.parse(resource())
    [job] = {route.job for route in endpoint.spec.routes}

    def missing_of(*workers: WorkerState) -> tuple[str, ...]:
        return jobs_without_handler(endpoint, workers, {"new"})

    assert missing_of() == ()
    assert missing_of(worker_of()) == ()  # HTTP mode
    assert missing_of(worker_of("other"), worker_of(job)) == ()
    missing = missing_of(worker_of("other"))
    assert missing == (job,)
    # Pods of another template are being replaced, or drain.
    assert missing_of(worker_of("other", pod="old")) == ()
    assert missing_of(worker_of("other", pod="old"), worker_of(job)) == ()
    assert missing_of(worker_of(job, pod="old"), worker_of("other")) == (job,)
    these = observed(without_handler=missing)
    assert found(these)["Degraded"] == ("True", "HandlerMissing")
    assert f'"{job}"' in message(these, "Degraded")


def test_a_crash_is_shown_for_a_while() -> None:
    how = "killed by SIGKILL: the container ran out of memory (limit 128 MiB)"
    workers = [worker_of("a", crash=how, at_ms=1_000), worker_of("a", crash=how, at_ms=2_000)]
    assert recent_crashes(workers, 700_000) == ()
    these = observed(crashes=recent_crashes(workers, 600_000))
    assert found(these)["Degraded"] == ("True", "WorkerCrashed")
    assert message(these, "Degraded") == f"a worker's process died: {how}"


def test_a_console_without_a_token_keeps_no_job_from_running() -> None:
    text = "a Secret of this name exists"
    refusal = Refusal("Secret", "reports-console-view", RefusalReason.CONSOLE, text)
    these = observed(refusals=(refusal,))
    assert found(these)["Ready"][0] == "True"
    assert found(these)["Degraded"] == ("True", "ConsoleTokenMissing")
    assert message(these, "Degraded") == f"Secret reports-console-view: {text}"


@pytest.mark.parametrize(
    ("kind", "reason"), [("gateway_kills", "GatewayCrashed"), ("memory_kills", "WorkerCrashed")]
)
def test_a_container_that_ran_out_of_memory_is_shown(kind: str, reason: str) -> None:
    how: dict[str, Any] = {kind: ("container gateway of pod x ran out of memory",)}
    these = observed(**how)
    assert found(these)["Degraded"] == ("True", reason)
    assert "ran out of memory" in message(these, "Degraded")
