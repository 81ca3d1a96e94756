"""The immutable ConfigMaps with what a gateway or worker must know at its start. Pure.

Their names end in a hash of their content, so a change is a new ConfigMap and a rollout of the pods
that read it. What processes read live from the store (queue, retry, retention, autoscaling,
suspend) is not in them, nor is anything at its default, so neither an edit of those nor a new
version of the model rolls a pod (docs/rules.md K8).
"""

import hashlib
import json
import math
from typing import Any, Final

import yaml

from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_operator.desired.naming import GATEWAY, Manifest, child_name, metadata

FILE: Final = "endpoint.yaml"

_GATEWAY_FIELDS: Final = (
    "maxBodyBytes",
    "maxHeaderBytes",
    "maxWaiters",
    "basePath",
    "list",
    "auth",
    "cors",
)
_WORKER_FIELDS: Final = ("handlers", "http", "concurrency", "processes", "maxResultBytes")

_CPU_SUFFIXES: Final = {"m": 1e-3, "u": 1e-6, "n": 1e-9, "k": 1e3}


def content_hash(value: Any) -> str:
    """Return ten hex digits that stand for a value of JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def config_map(endpoint: AsyncEndpoint, component: str) -> Manifest:
    """Return the ConfigMap of a component; its name is what the pods mount."""
    document = _gateway(endpoint) if component == GATEWAY else _worker(endpoint)
    text = yaml.safe_dump(document, sort_keys=True, width=10_000, allow_unicode=True)
    name = f"{child_name(endpoint, component)}-{content_hash(document)}"
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(endpoint, component, name),
        "immutable": True,
        "data": {FILE: text},
    }


def _gateway(endpoint: AsyncEndpoint) -> dict[str, Any]:
    spec = _spec(endpoint)
    own = {key: spec["gateway"][key] for key in _GATEWAY_FIELDS if key in spec.get("gateway", {})}
    return _document(
        endpoint,
        spec,
        routes=spec["routes"],
        gateway=own,
        worker=_mode(spec),
    )


def _worker(endpoint: AsyncEndpoint) -> dict[str, Any]:
    """A worker reads no schema and no method: a change of those does not concern it."""
    spec = _spec(endpoint)
    own = {key: spec["worker"][key] for key in _WORKER_FIELDS if key in spec["worker"]}
    if "http" in own and "concurrency" not in own:
        # The agent's own container has no CPU limit to go by: the user's container has.
        cpus = cpu_limit(endpoint.spec.worker.resources)
        own |= {"concurrency": max(1, math.ceil(cpus))} if cpus else {}
    routes = {
        route["path"]: {"path": route["path"], "job": route["job"]} for route in spec["routes"]
    }
    return _document(
        endpoint,
        spec,
        routes=list(routes.values()),
        worker=own,
        timeouts=spec.get("timeouts"),
    )


def _spec(endpoint: AsyncEndpoint) -> dict[str, Any]:
    dump: dict[str, Any] = endpoint.spec.model_dump(
        mode="json", by_alias=True, exclude_none=True, exclude_defaults=True
    )
    return dump


def _mode(spec: dict[str, Any]) -> dict[str, Any]:
    """The one field of the worker that every valid endpoint has."""
    mode = "http" if "http" in spec["worker"] else "handlers"
    return {mode: spec["worker"][mode]}


def _document(endpoint: AsyncEndpoint, spec: dict[str, Any], **parts: Any) -> dict[str, Any]:
    """Put an endpoint together that has only what is given, and what both components need."""
    durability = spec.get("redis", {}).get("durability")
    parts["redis"] = {"durability": durability} if durability else None
    return {
        "apiVersion": endpoint.api_version,
        "kind": endpoint.kind,
        "metadata": {
            "name": endpoint.name,
            "namespace": endpoint.metadata.namespace,
            "uid": endpoint.metadata.uid,
        },
        "spec": {key: value for key, value in parts.items() if value},
    }


def cpu_limit(resources: dict[str, Any]) -> float | None:
    """Return the CPU limit of a container's resources in CPUs, or None without a readable one."""
    text = str((resources.get("limits") or {}).get("cpu", ""))
    factor = _CPU_SUFFIXES.get(text[-1:], 1.0)
    try:
        cpus = float(text[:-1] if text[-1:] in _CPU_SUFFIXES else text) * factor
    except ValueError:
        return None
    return cpus if cpus > 0 and math.isfinite(cpus) else None
