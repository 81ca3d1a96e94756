"""What counts as drift: a changed field of ours does, defaults and others' fields do not."""

import copy
from typing import Any

import pytest
import yaml

from asyncendpoints_operator.control import drift
from support.paths import GOLDEN

FULL = GOLDEN / "full.yaml"


def wanted() -> dict[str, Any]:
    documents = yaml.safe_load_all(FULL.read_text(encoding="utf-8"))
    return drift.sealed(
        next(
            d for d in documents if d["kind"] == "Deployment" and "-worker" in d["metadata"]["name"]
        )
    )


def as_stored(manifest: dict[str, Any]) -> dict[str, Any]:
    """What the API server gives back: the same, with what it and others add."""
    live = copy.deepcopy(manifest)
    live["metadata"] |= {"uid": "1", "resourceVersion": "5", "creationTimestamp": "x"}
    live["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "3"
    live["status"] = {"replicas": 2}
    spec = live["spec"]["template"]["spec"]
    spec["restartPolicy"] = "Always"
    spec["containers"][0]["terminationMessagePath"] = "/dev/termination-log"
    return live


def test_what_was_applied_is_in_sync() -> None:
    assert drift.in_sync(as_stored(wanted()), wanted(), None)


def test_replicas_of_workers_are_scalings_alone() -> None:
    live = as_stored(wanted())
    live["spec"]["replicas"] = 17
    assert drift.in_sync(live, wanted(), None)


def test_an_image_changed_by_hand_is_drift() -> None:
    live = as_stored(wanted())
    live["spec"]["template"]["spec"]["containers"][0]["image"] = "elsewhere:1"
    assert not drift.in_sync(live, wanted(), None)


def test_a_field_taken_away_by_hand_is_drift() -> None:
    live = as_stored(wanted())
    del live["spec"]["template"]["spec"]["containers"][0]["securityContext"]
    assert not drift.in_sync(live, wanted(), None)


def test_a_variable_added_by_another_is_left_alone_one_of_ours_is_not() -> None:
    live = as_stored(wanted())
    env = live["spec"]["template"]["spec"]["containers"][0]["env"]
    env.insert(0, {"name": "THEIRS", "value": "1"})
    assert drift.in_sync(live, wanted(), None)
    env.remove(next(one for one in env if one["name"] == "ASYNCENDPOINTS_POD_UID"))
    assert not drift.in_sync(live, wanted(), None)


def test_a_restart_by_kubectl_is_left_alone() -> None:
    live = as_stored(wanted())
    notes = live["spec"]["template"]["metadata"].setdefault("annotations", {})
    notes["kubectl.kubernetes.io/restartedAt"] = "2026-01-01T00:00:00Z"
    assert drift.in_sync(live, wanted(), None)


def test_what_is_not_wanted_any_more_must_be_applied_to_go() -> None:
    before, after = wanted(), wanted()
    del after["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    after = drift.sealed(after)
    assert not drift.in_sync(as_stored(before), after, None)


def test_a_hash_written_by_another_version_is_drift() -> None:
    live = as_stored(wanted())
    live["metadata"]["annotations"][drift.APPLIED_ANNOTATION] = "older"
    assert not drift.in_sync(live, wanted(), None)


def test_what_the_server_makes_of_a_value_is_accepted_until_it_changes() -> None:
    live = as_stored(wanted())
    container = live["spec"]["template"]["spec"]["containers"][0]
    container["image"] = "mirror.example/" + container["image"]
    accepted = drift.fingerprint(live, wanted())
    assert not drift.in_sync(live, wanted(), None)
    assert drift.in_sync(live, wanted(), accepted)
    container["image"] = "elsewhere:1"
    assert not drift.in_sync(live, wanted(), accepted)


A = {"a": "1"}
SELECTED = {"matchLabels": A}
ANY = [{"key": "b", "operator": "Exists"}]
HTTP, ADMIN = {"port": 8080, "protocol": "TCP"}, {"port": 9090, "protocol": "TCP"}


@pytest.mark.parametrize(
    ("live", "asked", "same"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({}, {"a": []}, True),
        ({}, {"a": 1}, False),
        ([1, 2, 3], [1, 2], False),
        ([{"name": "x", "v": 1}, {"name": "y"}], [{"name": "x", "v": 1}], True),
        ([{"v": 1}, {"v": 2}], [{"v": 1}], False),
        ({"selector": {"a": "1", "theirs": "2"}}, {"selector": {"a": "1"}}, False),
        ({"selector": {"matchLabels": A, "matchExpressions": ANY}}, {"selector": SELECTED}, False),
        ({"podSelector": {"matchExpressions": ANY}}, {"podSelector": {}}, False),
        ({"podSelector": SELECTED}, {"podSelector": SELECTED}, True),
        ({"ingress": [{"ports": [ADMIN, HTTP]}]}, {"ingress": [{"ports": [HTTP]}]}, False),
        ({"ingress": [{"ports": [HTTP], "from": []}]}, {"ingress": [{"ports": [HTTP]}]}, False),
        ({"labels": {"a": "1", "theirs": "2"}}, {"labels": {"a": "1"}}, True),
    ],
)
def test_projection(live: Any, asked: Any, same: bool) -> None:
    assert (drift.project(live, asked) == asked) is same
