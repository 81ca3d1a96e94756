"""The immutable ConfigMaps with the part of the resource that a gateway or worker reads. Pure.

Their names end in a hash of the content, so a change makes a new ConfigMap and rolls the pods that
mount it. Each holds the fields that the model marks with the role, without default values: neither
a change of settings that are read live from the store nor a new version of the model rolls a pod
(docs/rules.md K8).
"""

import hashlib
import json
import math
from typing import Any, Final

import yaml

from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.resource.base import Role
from asyncendpoints_core.resource.fields import part_for
from asyncendpoints_operator.desired.naming import WORKER, Manifest, child, child_name

FILE: Final = "endpoint.yaml"

_CPU_SUFFIXES: Final = {"m": 1e-3, "u": 1e-6, "n": 1e-9, "k": 1e3}


def content_hash(value: Any) -> str:
    """Return a hash of a JSON value, as ten hex digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def document_for(endpoint: AsyncEndpoint, component: str) -> Manifest:
    """Return the part of the resource that a component reads."""
    spec = part_for(Role(component), endpoint.spec)
    if component == WORKER:
        _complete_worker(spec, endpoint)
    return {
        "apiVersion": endpoint.api_version,
        "kind": endpoint.kind,
        "metadata": {
            "name": endpoint.name,
            "namespace": endpoint.metadata.namespace,
            "uid": endpoint.metadata.uid,
        },
        "spec": spec,
    }


def config_map(endpoint: AsyncEndpoint, component: str) -> Manifest:
    """Return the ConfigMap of a component, which its pods mount by name."""
    document = document_for(endpoint, component)
    name = f"{child_name(endpoint, component)}-{content_hash(document)}"
    text = yaml.safe_dump(document, sort_keys=True, width=10_000, allow_unicode=True)
    return child(endpoint, component, "ConfigMap", name, immutable=True, data={FILE: text})


def _complete_worker(spec: dict[str, Any], endpoint: AsyncEndpoint) -> None:
    """Keep one route per path, and set the concurrency of HTTP mode from the user's CPU limit.

    Without methods, routes of one path would conflict. The agent's own container has no CPU limit
    that it could derive its concurrency from.
    """
    spec["routes"] = list({route["path"]: route for route in spec["routes"]}.values())
    worker = spec["worker"]
    if "http" in worker and "concurrency" not in worker:
        cpus = cpu_limit(endpoint.spec.worker.resources)
        if cpus is not None:
            worker["concurrency"] = max(1, math.ceil(cpus))


def cpu_limit(resources: dict[str, Any]) -> float | None:
    """Return the CPU limit of a container's resources in CPUs, or None if it cannot be read."""
    text = str((resources.get("limits") or {}).get("cpu", ""))
    factor = _CPU_SUFFIXES.get(text[-1:], 1.0)
    try:
        cpus = float(text[:-1] if text[-1:] in _CPU_SUFFIXES else text) * factor
    except ValueError:
        return None
    return cpus if cpus > 0 and math.isfinite(cpus) else None
