"""The CRD is structural, bounded, documented, and refuses what the model refuses."""

from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from asyncendpoints_core.resource import AsyncEndpoint, cluster_faults
from asyncendpoints_operator.crd import rules as crd_rules
from asyncendpoints_operator.crd.definition import COLUMNS, crd, crd_yaml
from asyncendpoints_operator.crd.structural import structural, walk
from support.crd_bounds import edges
from support.paths import ROOT
from support.resources import INVALID, MINIMAL, Invalid, merge


def nodes() -> dict[str, dict[str, Any]]:
    """Every node of the schema by its path."""
    found: dict[str, dict[str, Any]] = {}
    walk(crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"], found.__setitem__)
    return found


@pytest.mark.parametrize(
    "path", ["crds/asyncendpoints.asyncendpoints.io.yaml", "charts/asyncendpoints/files/crd.yaml"]
)
def test_the_golden_file_is_up_to_date(path: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == crd_yaml()
    assert yaml.safe_load(crd_yaml()) == crd()


def test_nothing_is_unbounded() -> None:
    unbounded = []
    for path, node in nodes().items():
        free = (
            node.get("type") == "string"
            and not {"maxLength", "enum", "format"} & node.keys()
            and path not in {".apiVersion", ".kind"}
        )
        if free or (node.get("type") == "array" and "maxItems" not in node):
            unbounded.append(path)
        if "additionalProperties" in node and "maxProperties" not in node:
            unbounded.append(path)
        if node.get("type") in {"integer", "number"} and ".status" not in path:
            unbounded += [path] * ("minimum" not in node or "maximum" not in node)
    assert unbounded == []


def test_every_field_is_documented() -> None:
    bare = [
        path
        for path, node in nodes().items()
        if not node.get("description") and not path.endswith(("[]", "{}"))
    ]
    assert bare == ["", ".apiVersion", ".kind", ".metadata"][1:]


def test_it_is_structural() -> None:
    for path, node in nodes().items():
        assert not {"$ref", "title", "allOf", "oneOf", "nullable"} & node.keys(), path
        assert node.get("type") != "null", path
        open_object = node.get("x-kubernetes-preserve-unknown-fields")
        if node.get("type") == "object" and path != ".metadata":
            assert open_object or {"properties", "additionalProperties"} & node.keys(), path


def test_lists_say_how_they_are_merged() -> None:
    lists = {path: node for path, node in nodes().items() if node.get("type") == "array"}
    assert all("x-kubernetes-list-type" in node for node in lists.values())
    keys = {
        path: node["x-kubernetes-list-map-keys"]
        for path, node in lists.items()
        if node["x-kubernetes-list-type"] == "map"
    }
    assert keys[".spec.routes"] == ["path"]
    assert keys[".status.conditions"] == ["type"]
    assert keys[".spec.worker.env"] == ["name"]
    for path, names in keys.items():
        item = lists[path]["items"]
        assert set(names) <= set(item["required"]), path


def test_defaults_are_the_models() -> None:
    found = nodes()
    assert found[".spec.retry.maxRetries"]["default"] == 3
    assert found[".spec.retry"]["default"] == {}
    assert "default" not in found[".spec.replicas"]  # absent means autoscaling


def test_no_default_is_inside_a_list() -> None:
    """A client that compares lists as a whole would see a difference after each apply."""
    assert [p for p, node in nodes().items() if "[]" in p and "default" in node] == []
    assert AsyncEndpoint.parse(MINIMAL).spec.routes[0].methods == ("POST",)


def bound(rule: str) -> bool:
    """Whether a rule is only the bound of a number."""
    return rule.startswith(("self >= ", "self <= "))


def test_the_bounds_of_every_number_are_the_models() -> None:
    checked = [edge for edge in edges() if edge.node["type"] in {"integer", "number"}]
    assert {edge.path: edge.value for edge in checked if edge.accepted != edge.within} == {}
    for edge in checked:  # the API server cuts off the fraction of a bound for whole values
        cut_off = int(edge.node["minimum"]) <= edge.value <= int(edge.node["maximum"])
        rules = [r["rule"] for r in edge.node.get("x-kubernetes-validations", ())]
        assert cut_off == edge.within or f"self >= {edge.node['minimum']}" in rules, edge.path
    assert len({edge.path for edge in checked}) > 50


def test_every_rule_names_a_record_and_has_a_message() -> None:
    used = {
        rule["rule"]
        for node in nodes().values()
        for rule in node.get("x-kubernetes-validations", ())
    }
    declared = [rule for rules in crd_rules.RULES.values() for rule in rules] + crd_rules.ROOT
    assert {rule["rule"] for rule in declared} == {rule for rule in used if not bound(rule)}
    assert all(rule["message"] and "\n" not in rule["message"] for rule in declared)


def test_subresources_names_and_columns() -> None:
    spec = crd()["spec"]
    version = spec["versions"][0]
    assert spec["names"]["shortNames"] == ["aep"]
    assert version["subresources"]["scale"] == {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    default = [column["name"] for column in COLUMNS if not column.get("priority")]
    wide = [column["name"] for column in COLUMNS if column.get("priority")]
    assert default == ["Ready", "Queued", "Running", "Failed", "Workers", "Age"]
    assert wide == ["Scheduled", "Completed", "Oldest", "URL"]
    assert "all" not in spec["names"]["categories"]


def test_columns_lead_to_fields_of_the_status() -> None:
    found = nodes()
    for column in COLUMNS:
        path = column["jsonPath"]
        if path.startswith(".status.") and "[" not in path:
            assert path in found


@pytest.mark.parametrize("case", INVALID, ids=lambda case: case.name)
def test_the_model_refuses_what_the_api_server_refuses(case: Invalid) -> None:
    document = merge(MINIMAL, case.change)
    try:
        faults = cluster_faults(AsyncEndpoint.parse(document))
    except ValidationError:
        return
    assert faults


def test_a_union_has_no_structural_form() -> None:
    class Either(BaseModel):
        field: int | str

    with pytest.raises(ValueError, match="more than one type"):
        structural(Either.model_json_schema(), {})
