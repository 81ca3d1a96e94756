"""The reference of conditions and Events knows everything that can be said."""

import ast
import re
from pathlib import Path

from asyncendpoints_core.resource.fields import walk as model_fields
from asyncendpoints_core.scaling.decide import Reason
from asyncendpoints_operator.crd.definition import crd
from asyncendpoints_operator.crd.structural import walk
from asyncendpoints_operator.status import conditions, events, webhook_findings
from asyncendpoints_operator.status.finding import DEGRADED
from asyncendpoints_operator.status.observed import QueueReason, RefusalReason
from asyncendpoints_operator.status.reasons import CONDITIONS, EVENTS
from support.paths import ROOT

WORD = re.compile(r"^[A-Z][a-z]+[A-Za-z]*$")


def words(module: object) -> set[str]:
    """Every text in a module that looks like a reason or a type of a condition."""
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))  # type: ignore[attr-defined]
    texts = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}
    return {text for text in texts if isinstance(text, str) and WORD.match(text)}


def documented() -> set[str]:
    listed = {reason for about in CONDITIONS.values() for reason in about.reasons}
    return {*CONDITIONS, *listed}


def test_every_reason_of_a_condition_is_documented() -> None:
    values = {"True", "False", "Unknown", "Redis"}
    assert words(conditions) | words(webhook_findings) <= {*documented(), *values}
    enums = {*map(str, QueueReason), *map(str, RefusalReason), *map(str, Reason)}
    assert enums <= {*documented(), *map(str, (Reason.PINNED, Reason.SUSPENDED, Reason.ERROR))}


def test_every_reason_of_an_event_is_documented() -> None:
    reported = {word for reasons in EVENTS for word in reasons.split(", ")}
    actions = {"Reconcile", "Scale", "Recover", "Schedule", "Deliver"}
    assert words(events) - actions - {"Normal", "Warning", "True", "False"} <= reported
    assert {str(Reason.UP), str(Reason.DOWN), str(Reason.ZERO)} <= reported


def test_troubleshooting_says_what_to_do_about_each() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    reported = {word for reasons in EVENTS for word in reasons.split(", ")} - {"…"}
    wrong = {*QueueReason, *RefusalReason} - {QueueReason.REACHABLE, QueueReason.NOT_READ}
    held = {
        Reason.PINNED,
        Reason.SUSPENDED,
        Reason.PAUSED,
        Reason.AT_MAX,
        Reason.NOT_READY,
        Reason.DRAINING,
    }
    listed = [reasons.split(", ") for reasons in CONDITIONS[DEGRADED].reasons]
    reported |= {word for words in listed for word in words} - {"AsExpected", "…"}
    words = {*CONDITIONS, *reported, *map(str, wrong), *map(str, held)}
    assert {word for word in words if not re.search(rf"`[^`]*\b{word}\b", page)} == set()


def test_the_generated_reference_and_the_crd_have_the_same_fields() -> None:
    in_crd: set[str] = set()
    schema = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    walk(schema, lambda path, _: in_crd.add("spec" + path))
    of_fields = {path.removesuffix("[]") for path in in_crd if not path.endswith("{}")} - {"spec"}
    of_model = {f.path.removesuffix("[]") for f in model_fields() if f.path.startswith("spec.")}
    assert of_model == of_fields
