"""Events: published once for each change that matters, and rate-limited."""

from typing import Any

import msgspec

from asyncendpoints_core.jobs.schedules import ScheduleState
from asyncendpoints_core.scaling.decide import Decision, Memory, Reason
from asyncendpoints_core.store.recovery import Recovered
from asyncendpoints_core.store.replies import Cause, Released, Stats
from asyncendpoints_operator.status.events import (
    Event,
    admit,
    of_change,
    of_deliveries,
    of_recovery,
    of_release,
    of_scaling,
    of_schedules,
)


def status(**values: tuple[str, str]) -> dict[str, Any]:
    return {
        "conditions": [
            {"type": kind, "status": value, "reason": reason, "message": f"about {reason}"}
            for kind, (value, reason) in values.items()
        ]
    }


def reasons(before: dict[str, Any] | None, after: dict[str, Any]) -> list[str]:
    return [event.reason for event in of_change(before, after)]


UP = status(GatewayAvailable=("True", "GatewayReady"))
DOWN = status(GatewayAvailable=("False", "GatewayStarting"))


def test_gateway_events() -> None:
    assert reasons(None, DOWN) == []  # nothing was expected of it yet
    assert reasons(DOWN, UP) == ["GatewayReady"]
    assert reasons(UP, UP) == []
    assert of_change(UP, DOWN) == [Event("Warning", "GatewayNotAvailable", "about GatewayStarting")]


def test_queue_events() -> None:
    good = status(QueueReachable=("True", "Reachable"))
    bad = status(QueueReachable=("False", "AuthenticationFailed"))
    unread = status(QueueReachable=("Unknown", "NotYetRead"))
    assert reasons(good, bad) == ["QueueUnreachable"]
    assert reasons(bad, good) == ["QueueReachable"]
    assert reasons(None, good) == []
    assert reasons(unread, bad) == ["QueueUnreachable"]


def test_degraded_events_carry_the_reason_and_repeat_when_it_changes() -> None:
    fine = status(Degraded=("False", "AsExpected"))
    image = status(Degraded=("True", "ImagePullBackOff"))
    crash = status(Degraded=("True", "CrashLoopBackOff"))
    assert reasons(fine, image) == ["ImagePullBackOff"]
    assert reasons(image, image) == []
    assert reasons(image, crash) == ["CrashLoopBackOff"]
    assert reasons(crash, fine) == ["Resolved"]
    assert reasons(None, fine) == []


def test_an_invalid_spec_is_reported_once() -> None:
    bad = status(Degraded=("True", "InvalidSpec"), RoutesAccepted=("False", "InvalidSpec"))
    assert reasons(None, bad) == ["InvalidSpec"]


def test_pins_and_suspension() -> None:
    auto = status(ScalingActive=("True", "Steady"))
    pinned = status(ScalingActive=("False", "Pinned"))
    suspended = status(ScalingActive=("False", "Suspended"))
    assert reasons(auto, pinned) == ["Pinned"]
    assert reasons(pinned, auto) == ["Unpinned"]
    assert reasons(pinned, suspended) == ["Unpinned", "Suspended"]
    assert reasons(suspended, auto) == ["Resumed"]
    paused = status(ScalingActive=("False", "Paused"))
    assert reasons(auto, paused) == ["Paused"]
    assert reasons(paused, auto) == ["Resumed"]


def test_a_rollout_begins_and_ends() -> None:
    settled = status(Progressing=("False", "Settled"))
    rolling = status(Progressing=("True", "RollingOut"))
    assert reasons(settled, rolling) == ["RolloutStarted"]
    assert reasons(rolling, settled) == ["RolloutDone"]
    assert reasons(None, rolling) == []


def test_a_scaling_event_has_the_reason() -> None:
    decision = Decision(3, 3, Reason.UP, "1 → 3: 40 queued, 8 running", Memory())
    assert of_scaling(3, decision) == []
    assert of_scaling(1, decision) == [Event("Normal", "ScaledUp", decision.text, "Scale")]


def test_a_recovery_event_counts_the_jobs() -> None:
    assert of_recovery(Recovered()) == []
    lost = Recovered(workers=("a", "b"), released=Released(requeued=3, failed=1), timed_out=1)
    (event,) = of_recovery(lost)
    assert event.reason == "JobsRecovered"
    assert event.message == (
        "3 jobs will run again, 1 job failed permanently, 1 job exceeded the timeout "
        "(2 workers lost)"
    )
    assert [e.reason for e in of_recovery(Recovered(leases_extended=True))] == ["LeasesExtended"]


def test_a_lost_worker_event_says_whether_the_job_was_charged() -> None:
    assert of_release("pod", "OOMKilled", Cause.CRASH, Released()) == []
    (event,) = of_release("pod-1", "OOMKilled", Cause.CRASH, Released(requeued=1))
    assert event.message == (
        "worker pod-1 terminated (OOMKilled): 1 job will run again; charged to the crash budget"
    )
    (event,) = of_release("pod-1", "Preempting", Cause.LOST, Released(requeued=2))
    assert event.message.endswith("2 jobs will run again; not charged")


def test_events_of_one_reason_are_rate_limited_and_counted() -> None:
    event = Event("Normal", "ScaledUp", "more")
    other = Event("Warning", "QueueUnreachable", "away")
    sent, memory = admit({}, [event], 0)
    assert sent == [event]
    sent, memory = admit(memory, [event, other, event], 10)
    assert sent == [other]
    sent, memory = admit(memory, [event], 31)
    assert sent == [Event("Normal", "ScaledUp", "more (2 more before)")]
    sent, memory = admit(memory, [event], 90)
    assert sent == [event]
    _, memory = admit(memory, [], 10_000)
    assert memory == {}


def test_a_message_is_cut_to_the_limit_of_the_api() -> None:
    sent, _ = admit({}, [Event("Normal", "X", "→" * 5_000)], 0)
    assert 990 < len(sent[0].message.encode()) <= 1_000


def test_times_without_a_job_are_one_event_of_each_kind() -> None:
    def stats(*states: ScheduleState) -> Stats:
        return Stats(now_ms=2_000_000, counts={}, by_name={}, totals={}, schedules=states)

    a = ScheduleState("a", "h", 0, missed=2, missed_ms=1_900_000)
    b = ScheduleState("b", "h", 0, missed=1, missed_ms=1, skipped=1, skipped_ms=1_999_999)
    first = of_schedules(None, stats(a, b))  # a new leader: only what is recent
    assert [event.reason for event in first] == ["ScheduleMissed", "ScheduleSkipped"]
    assert "a (2):" in first[0].message
    assert of_schedules((a, b), stats(a, b)) == []
    more = msgspec.structs.replace(a, missed=5)
    [event] = of_schedules((a, b), stats(more, msgspec.structs.replace(b, missed=2)))
    assert (event.type, event.reason) == ("Warning", "ScheduleMissed")
    assert "a (3), b (1):" in event.message
    # Created again after a day, with new counters.
    assert of_schedules((more,), stats(ScheduleState("a", "h", 0))) == []


def test_lost_deliveries_are_counted_since_the_last_reading() -> None:
    before = {"webhooks_dead": 3, "webhooks_dropped": 0}
    assert of_deliveries(None, before) == []
    assert of_deliveries(before, before) == []
    dead, dropped = of_deliveries(before, {"webhooks_dead": 5, "webhooks_dropped": 7})
    assert (dead.type, dead.reason, dropped.reason) == (
        "Warning",
        "WebhookDeliveriesDead",
        "WebhookDeliveriesDropped",
    )
    assert dead.message.endswith(": 2")
    assert dropped.message.endswith(": 7")
