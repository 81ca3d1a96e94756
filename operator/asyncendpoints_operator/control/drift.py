"""Whether a child in the cluster still matches what was applied: by a hash and by our fields. Pure.

The API server fills in defaults and others may add fields, so only the fields that were applied are
compared. How the server stored them (it rewrites quantities, a webhook may change more) counts as
in sync as long as it stays the same: otherwise every reconciliation would apply the child again.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from asyncendpoints_core.resource import GROUP
from asyncendpoints_operator.desired.config import content_hash
from asyncendpoints_operator.desired.naming import FIELD_MANAGER, Manifest

APPLIED_ANNOTATION: Final = f"{GROUP}/applied"
"""On children: the hash of the manifest that was last applied."""

WRITES: Final = ((5, 60.0), (6, 600.0))
"""A child written that often in that time (s), without a change of the resource, has a conflicting
writer.
"""

# Maps that are one value to Kubernetes (mapType=atomic): a key added to them is drift.
_WHOLE: Final = frozenset({"selector", "matchLabels", "nodeSelector"})
# Likewise whatever they have: the rules of a NetworkPolicy, and whom they are for.
_ATOMIC: Final = frozenset({"ingress", "labelSelector", "podSelector"})
_SELECTOR: Final = frozenset({"matchLabels", "matchExpressions"})
# The fields that identify an item of a list (the merge keys of Kubernetes' own types).
_KEYS: Final = ("mountPath", "name", "containerPort", "port", "key", "ip", "topologyKey", "uid")


def sealed(manifest: Manifest) -> Manifest:
    """Return the manifest with an annotation that holds the hash of its content."""
    result = copy.deepcopy(manifest)
    notes = result["metadata"].setdefault("annotations", {})
    notes[APPLIED_ANNOTATION] = content_hash(_static(manifest))
    return result


def in_sync(live: Mapping[str, Any], wanted: Manifest, accepted: str | None) -> bool:
    """Whether `live` matches `wanted` (sealed); `accepted` is its `fingerprint` as last applied,
    None if unknown.
    """
    if applied_hash(live) != applied_hash(wanted):
        return False
    return shows(live, wanted) or (accepted is not None and fingerprint(live, wanted) == accepted)


def applied_hash(manifest: Mapping[str, Any]) -> str:
    """Return the hash in an object's annotation, "" if there is none."""
    notes = manifest["metadata"].get("annotations") or {}
    return str(notes.get(APPLIED_ANNOTATION, ""))


def is_loop(times: Iterable[float], now: float) -> bool:
    """Whether an object was written so often (s) that another writer must be changing it back."""
    ages = [now - at for at in times]
    return any(sum(age < seconds for age in ages) >= most for most, seconds in WRITES)


def describe_writer(live: Mapping[str, Any]) -> str:
    """Say who changes an object back: the other field manager that wrote its spec last."""
    writers = [
        (entry.get("time", ""), str(entry.get("manager", "")))
        for entry in (live.get("metadata") or {}).get("managedFields") or ()
        if entry.get("subresource") != "status" and entry.get("manager") != FIELD_MANAGER
    ]
    who = f"field manager {max(writers)[1]}" if writers else "another operator like this one"
    return f"{who} changes it back each time"


def shows(live: Mapping[str, Any], wanted: Manifest) -> bool:
    """Whether `live` has every wanted field with exactly that value."""
    static = _static(wanted)
    return bool(project(live, static) == static)


def fingerprint(live: Mapping[str, Any], wanted: Manifest) -> str:
    """Return a hash of those fields of `live` that `wanted` has."""
    return content_hash(project(live, _static(wanted)))


def _static(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that are compared: not its identity, nor the replicas set by scaling."""
    result = {key: value for key, value in manifest.items() if key not in {"metadata", "status"}}
    meta = manifest["metadata"]
    result["metadata"] = {
        "labels": meta.get("labels") or {},
        "annotations": {
            name: value
            for name, value in (meta.get("annotations") or {}).items()
            if name != APPLIED_ANNOTATION
        },
        "ownerReferences": meta.get("ownerReferences") or [],
    }
    if manifest.get("kind") == "Deployment" and _is_worker(meta):
        result["spec"] = {k: v for k, v in manifest["spec"].items() if k != "replicas"}
    if manifest.get("kind") == "Secret":
        result.pop("stringData", None)
    return result


def _is_worker(meta: Mapping[str, Any]) -> bool:
    return (meta.get("labels") or {}).get("app.kubernetes.io/component") == "worker"


def project(live: Any, wanted: Any) -> Any:
    """Return the fields of `live` that `wanted` has; items of lists are matched by their key.

    A field that is missing in `live` is missing in the result.
    """
    if isinstance(wanted, Mapping) and isinstance(live, Mapping):
        return {
            key: _part(key, live[key], value) if key in live else _absent(value)
            for key, value in wanted.items()
            if key in live or _absent(value) is not None
        }
    if _is_list(wanted) and _is_list(live):
        key = _key(wanted)
        if key is None or _key(live) != key:
            return [
                project(one, wanted[i]) if i < len(wanted) else one for i, one in enumerate(live)
            ]
        found = {item[key]: item for item in live}
        return [project(found[w[key]], w) for w in wanted if w[key] in found]
    return live


def _part(key: str, live: Any, wanted: Any) -> Any:
    if key in _ATOMIC or (key in _WHOLE and (_is_flat(wanted) or _is_selector(wanted))):
        return live
    return project(live, wanted)


def _is_flat(value: Any) -> bool:
    """Whether it is a map of strings, and not a field that only has the name of one."""
    return isinstance(value, Mapping) and all(isinstance(v, str) for v in value.values())


def _is_selector(value: Any) -> bool:
    """Whether it is a label selector, which one expression more makes another one."""
    return isinstance(value, Mapping) and bool(value) and _SELECTOR.issuperset(value)


def _absent(wanted: Any) -> Any:
    """Return what an absent field counts as: the API server drops empty values.

    None: it counts as a difference.
    """
    return wanted if wanted in ("", [], {}, None, 0, False) and wanted is not None else None


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _key(items: Sequence[Any]) -> str | None:
    """Return the field that identifies the items."""
    if not items or not all(isinstance(item, Mapping) for item in items):
        return None
    for key in _KEYS:
        values = [item.get(key) for item in items]
        if all(isinstance(v, str | int) for v in values) and len(set(values)) == len(values):
            return key
    return None
