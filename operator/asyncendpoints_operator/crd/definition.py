"""The CustomResourceDefinition, generated from the pydantic models of spec and status. Pure.

`routes` is a list-map keyed by path: server-side apply merges routes by path, and uniqueness needs
no quadratic CEL rule. Each path is therefore one route in a cluster; to map other methods of the
same path to another job, rename a parameter (`/reports/{id}` and `/reports/{report}`).
"""

from typing import Any, Final

import yaml

from asyncendpoints_core.resource import GROUP, KIND, VERSION, AsyncEndpoint
from asyncendpoints_operator.crd.rules import ROOT, RULES
from asyncendpoints_operator.crd.structural import Schema, structural
from asyncendpoints_operator.status.model import EndpointStatus

PLURAL: Final = "asyncendpoints"
NAME: Final = f"{PLURAL}.{GROUP}"

# Not in `all`: `kubectl delete all --all` would delete accepted jobs.
CATEGORIES: Final = ["async"]

# Lists that server-side apply treats as maps (keys are unique) or sets, so that two field managers
# can share them.
_LIST_MAPS: Final = {
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "initContainers": "name",
    "sidecars": "name",
    "hostAliases": "ip",
    "webhooks": "name",
}
_LIST_SETS: Final = frozenset({"methods", "headers", "allowOrigins", "hostnames", "tags"})


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
        "Whether jobs are accepted and will be run",
    ),
    _jobs("Queued", "queued", "Jobs waiting for a worker"),
    _jobs("Running", "inProgress", "Running jobs"),
    _jobs("Failed", "failed", "Retained jobs that failed permanently"),
    _column("Workers", ".status.readyReplicas", "integer", "Ready worker pods"),
    _jobs("Scheduled", "scheduled", "Jobs delayed or waiting for a retry", wide=True),
    _jobs("Completed", "completed", "Retained jobs that succeeded", wide=True),
    _column(
        "Oldest",
        ".status.oldestQueuedTime",
        "date",
        "Waiting time of the oldest queued job",
        wide=True,
    ),
    _column("URL", ".status.url", "string", "URL of the gateway for clients", wide=True),
    _column("Age", ".metadata.creationTimestamp", "date", "Age of the resource"),
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
    """Return the schema of the whole object; the metadata is defined by Kubernetes."""
    model = structural(AsyncEndpoint.model_json_schema(by_alias=True), RULES)
    spec = model["properties"]["spec"]
    _mark_lists(spec)
    worker = spec["properties"]["worker"]  # a file on a laptop may leave out the image
    worker["required"] = ["image", *worker.get("required", ())]
    status = structural(EndpointStatus.model_json_schema(by_alias=True), {})
    _mark_lists(status)
    for name in ("apiVersion", "kind"):
        model["properties"][name] = {"type": "string"}
    model["properties"]["metadata"] = {"type": "object"}
    model["properties"]["status"] = status
    model["required"] = ["spec"]
    model["x-kubernetes-validations"] = ROOT
    return model


def _mark_lists(node: Schema) -> None:
    """Mark how server-side apply merges each list; an unmarked list is replaced as a whole."""
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
    """Writes repeated values in full instead of YAML anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def crd_yaml(_current: str = "") -> str:
    """Return the CRD as YAML text, for crds/ and the chart."""
    text: str = yaml.dump(crd(), Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)
    return _HEADER + text
