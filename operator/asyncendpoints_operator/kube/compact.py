"""What the cache keeps of a manifest, in as little memory as possible. Pure.

As parsed, the objects of 200 endpoints take 33 MiB; compact, 9 MiB.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from asyncendpoints_core.resource import KIND

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncendpoints_operator.desired.naming import Manifest


def compact(manifest: Manifest) -> Manifest:
    """Return a copy that shares equal strings with others, without what the operator never reads.

    Of managedFields, an endpoint keeps who owns `spec.replicas`, other objects nothing.
    """
    meta = dict(manifest["metadata"])
    fields = meta.pop("managedFields", None) or ()
    if manifest["kind"] == KIND and (kept := [one for one in fields if owns_replicas(one)]):
        meta["managedFields"] = [
            {**one, "fieldsV1": {"f:spec": {"f:replicas": {}}}} for one in kept
        ]
    found: Manifest = _interned({**manifest, "metadata": meta})
    return found


def owns_replicas(entry: Mapping[str, Any]) -> bool:
    """Whether an entry of managedFields has `spec.replicas`."""
    return "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})


def _interned(value: Any) -> Any:
    if type(value) is str:
        return sys.intern(value)
    if isinstance(value, dict):
        return {sys.intern(key): _interned(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_interned(part) for part in value]
    return value
