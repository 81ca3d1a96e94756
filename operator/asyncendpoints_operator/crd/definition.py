"""The CustomResourceDefinition, generated from the pydantic models of spec and status. Pure.

`routes` is a list-map keyed by path: server-side apply merges routes by their path, and uniqueness
costs no quadratic CEL. In a cluster a path is therefore one route; for another job on other methods
of the same shape, give a parameter another name (`/reports/{id}` and `/reports/{report}`).
"""

from typing import Any, Final

import yaml

from asyncendpoints_core.resource import GROUP, KIND, VERSION, AsyncEndpoint
from asyncendpoints_operator.crd.rules import ROOT, RULES
from asyncendpoints_operator.crd.structural import Schema, structural
from asyncendpoints_operator.status.model import EndpointStatus

PLURAL: Final = "asyncendpoints"
NAME: Final = f"{PLURAL}.{GROUP}"

# Not in `all`: `kubectl delete all --all` would take accepted jobs with it.
CATEGORIES: Final = ["async"]

# Lists that are sets or maps to server-side apply, so that two owners can share them. In a map an
# item's key is unique, which the API server checks itself.
_LIST_MAPS: Final = {"env": "name", "volumes": "name", "volumeMounts": "mountPath"}
_LIST_SETS: Final = frozenset({"methods", "headers", "allowOrigins", "hostnames"})


def _column(name: str, path: str, kind: str, about: str, *, wide: bool = False) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "type": kind, "description": about, "jsonPath": path}
    return {**column, "priority": 1} if wide else column


def _jobs(name: str, state: str, about: str, *, wide: bool = False) -> dict[str, Any]:
    return _column(name, f".status.jobs.{state}", "integer", about, wide=wide)


COLUMNS: Final = [
    _column(
        "Ready",
        '.status.conditions[?(@.type=="Ready")].status',
        "string",
        "Whether it takes jobs and its workers are in order",
    ),
    _jobs("Queued", "queued", "Jobs that wait for a worker"),
    _jobs("Running", "inProgress", "Jobs that run"),
    _jobs("Failed", "failed", "Jobs that failed for good and are still kept"),
    _column("Workers", ".status.readyReplicas", "integer", "Pods of workers that are ready"),
    _jobs("Scheduled", "scheduled", "Jobs that wait for their time or a retry", wide=True),
    _jobs("Completed", "completed", "Jobs that ended well and are still kept", wide=True),
    _column(
        "Oldest",
        ".status.oldestQueuedTime",
        "date",
        "How long the oldest waiting job has waited",
        wide=True,
    ),
    _column("URL", ".status.url", "string", "Where clients reach the gateway", wide=True),
    _column("Age", ".metadata.creationTimestamp", "date", "Since the resource was created"),
]


def crd() -> dict[str, Any]:
    """Return the CustomResourceDefinition as a manifest."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": NAME},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["aep"],
                "categories": CATEGORIES,
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _schema()},
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.replicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "additionalPrinterColumns": COLUMNS,
                }
            ],
        },
    }


def _schema() -> Schema:
    """Return the schema of a whole object: spec and status in full, metadata by Kubernetes."""
    model = structural(AsyncEndpoint.model_json_schema(by_alias=True), RULES)
    spec = model["properties"]["spec"]
    _mark_lists(spec)
    _need(spec["properties"]["worker"], "image")
    status = structural(EndpointStatus.model_json_schema(by_alias=True), {})
    _mark_lists(status)
    for name in ("apiVersion", "kind"):
        model["properties"][name] = {"type": "string"}
    model["properties"]["metadata"] = {"type": "object"}
    model["properties"]["status"] = status
    model["required"] = ["spec"]
    model["x-kubernetes-validations"] = ROOT
    return model


def _need(node: Schema, name: str) -> None:
    """Make a field required that a file on a laptop may leave out."""
    node["required"] = [name, *node.get("required", ())]


def _mark_lists(node: Schema) -> None:
    """Tell server-side apply how each list is merged; an unmarked one is replaced whole."""
    for name, child in node.get("properties", {}).items():
        if child.get("type") == "array" and "x-kubernetes-list-type" not in child:
            if name in _LIST_MAPS:
                child["x-kubernetes-list-type"] = "map"
                child["x-kubernetes-list-map-keys"] = [_LIST_MAPS[name]]
            else:
                child["x-kubernetes-list-type"] = "set" if name in _LIST_SETS else "atomic"
        _mark_lists(child)
    if "items" in node:
        _mark_lists(node["items"])


_HEADER: Final = "# Generated from the pydantic model by `make generate`; do not edit.\n"


class _Dumper(yaml.SafeDumper):
    """Writes no anchors, so that each field is readable where it stands."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def crd_yaml(_current: str = "") -> str:
    """Return the CRD as YAML text, for crds/ and the chart."""
    text: str = yaml.dump(crd(), Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)
    return _HEADER + text
