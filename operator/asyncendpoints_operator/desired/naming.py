"""Names and labels of the operator's objects, and what all endpoints of an installation share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from asyncendpoints_core.resource import API_VERSION, GROUP, KIND, AsyncEndpoint

Manifest = dict[str, Any]

GATEWAY: Final = "gateway"
WORKER: Final = "worker"
SERVICE_PORT: Final = 80
REDIS_KEY: Final = "url"
"""Key in the Secret that the operator creates for an endpoint on its own Redis."""

FIELD_MANAGER: Final = "asyncendpoints-operator"
COST_ANNOTATION: Final = "controller.kubernetes.io/pod-deletion-cost"
CONSOLE_ANNOTATION: Final = f"{GROUP}/console-secrets"
"""Annotation of the gateway's Deployment: the UIDs of its console's Secrets by role, as JSON."""
TEMPLATE_ANNOTATION: Final = f"{GROUP}/template"
"""Annotation of worker pods: hash of the template (in HTTP mode without the agent's image)."""

AGENT_CONTAINER: Final = "worker"
"""The main container of every worker pod: the agent in HTTP mode, else the user's image."""
TARGET_CONTAINER: Final = "target"
"""The user's container in HTTP mode: a native sidecar."""


class Kind(NamedTuple):
    """A kind of object. `optional`: it may be absent, or come and go with its API."""

    api_version: str
    kind: str
    optional: bool = False


CHILD_KINDS: Final = (
    Kind("v1", "ServiceAccount"),
    Kind("v1", "ConfigMap"),
    Kind("v1", "Service"),
    Kind("policy/v1", "PodDisruptionBudget"),
    Kind("networking.k8s.io/v1", "NetworkPolicy"),
    Kind("apps/v1", "Deployment"),
    Kind("networking.k8s.io/v1", "Ingress"),
    Kind("gateway.networking.k8s.io/v1", "HTTPRoute", optional=True),
)
"""The kinds that `desired` may return: those that the operator watches and cleans up."""
_VERSIONS: Final = {"Secret": "v1", **{kind.kind: kind.api_version for kind in CHILD_KINDS}}


@dataclass(frozen=True, slots=True)
class Platform:
    """What all endpoints of an installation share, from the operator's settings.

    `installation` is part of each queue's identity. `worker_image` is the main container of workers
    in HTTP mode. `gateway_resources` are the default for gateways. `listen_host` is the address
    that pods listen on, "::" in an IPv6-only cluster. `metrics_from` are the NetworkPolicy peers
    that may reach the admin ports of endpoints with NetworkPolicies. `webhook_environment` are the
    settings of gateways that send webhooks.

    Of these only `installation`, `listen_host` and, at first, `worker_image` reach a worker's
    template: what belongs to the cluster, so that no upgrade rolls workers (docs/rules.md K8).
    """

    gateway_image: str
    worker_image: str
    installation: str
    image_pull_policy: str | None = None
    gateway_resources: Mapping[str, Any] = field(
        default_factory=lambda: {
            "requests": {"cpu": "50m", "memory": "96Mi"},
            "limits": {"memory": "512Mi"},
        }
    )
    log_level: str = "info"
    listen_host: str = "0.0.0.0"  # noqa: S104 - pods are reached by their own address
    metrics_from: tuple[Mapping[str, Any], ...] = ()
    webhook_environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Live:
    """The live state that the desired state depends on.

    `replicas` is the scaling decision, always written (absent would mean 1). `agent_image` and
    `template` are those of the existing worker Deployment, empty if there is none.
    `console_secrets` are the UIDs of the Secrets with the console's tokens that the operator made,
    by role.
    """

    replicas: int = 0
    agent_image: str = ""
    template: str = ""
    console_secrets: Mapping[str, str] = field(default_factory=dict)


def child_name(endpoint: AsyncEndpoint, component: str) -> str:
    """Return the name of a component's Deployment, ServiceAccount and the like."""
    return component_name(endpoint.name, component)


def component_name(endpoint: str, component: str) -> str:
    """Return the same by the endpoint's name, as where its spec is invalid."""
    return f"{endpoint}-{component}"


def redis_secret_name(endpoint: AsyncEndpoint) -> str:
    """Return the name of the Secret with the endpoint's own user on the operator's Redis.

    The operator cannot read Secrets, so it could not recognize one that belongs to something else;
    part of the endpoint's UID makes the name unique.
    """
    return f"{endpoint.name}-redis-{endpoint.metadata.uid[:8]}"


def selector(endpoint: AsyncEndpoint, component: str) -> dict[str, str]:
    """Return the labels that select a component's pods. They must never change."""
    return {
        "app.kubernetes.io/name": "asyncendpoints",
        "app.kubernetes.io/instance": endpoint.name,
        "app.kubernetes.io/component": component,
    }


def labels(endpoint: AsyncEndpoint, component: str) -> dict[str, str]:
    """Return all labels of a component's objects."""
    return {
        **selector(endpoint, component),
        "app.kubernetes.io/managed-by": FIELD_MANAGER,
        f"{GROUP}/endpoint": endpoint.name,
    }


def selector_text(endpoint: AsyncEndpoint) -> str:
    """Return the label selector of the worker pods as text, for status.selector."""
    return ",".join(f"{key}={value}" for key, value in sorted(selector(endpoint, WORKER).items()))


def owner_reference(endpoint: AsyncEndpoint) -> dict[str, Any]:
    """Return the reference that makes the endpoint the controller of an object.

    It does not block the owner's deletion: that would need RBAC for finalizers.
    """
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": endpoint.name,
        "uid": endpoint.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def child(
    endpoint: AsyncEndpoint,
    component: str,
    kind: str,
    name: str = "",
    annotations: Mapping[str, str] | None = None,
    **content: Any,
) -> Manifest:
    """Return a child object, with the spec's labels and annotations of all children.

    Without a name, it has that of the component.
    """
    metadata: dict[str, Any] = {
        "name": name or child_name(endpoint, component),
        "namespace": endpoint.metadata.namespace,
        "labels": {**endpoint.spec.labels, **labels(endpoint, component)},
        "ownerReferences": [owner_reference(endpoint)],
    }
    if notes := {**endpoint.spec.annotations, **(annotations or {})}:
        metadata["annotations"] = notes
    return {"apiVersion": _VERSIONS[kind], "kind": kind, "metadata": metadata, **content}


def is_ours(live: Mapping[str, Any], endpoint: AsyncEndpoint) -> bool:
    """Whether the endpoint's UID owns an existing object that nothing else controls.

    Other objects are never changed (docs/rules.md K17). Its reference may have lost the mark of a
    controller, as from a tool that rewrites owners: it is put back.
    """
    owners = live.get("metadata", {}).get("ownerReferences") or ()
    controllers = {owner.get("uid") for owner in owners if owner.get("controller")}
    uid = endpoint.metadata.uid
    return controllers <= {uid} and any(owner.get("uid") == uid for owner in owners)


def belongs_to_predecessor(live: Mapping[str, Any], endpoint: AsyncEndpoint) -> bool:
    """Whether the owner of an object is a deleted endpoint of the same name."""
    owners = live.get("metadata", {}).get("ownerReferences") or ()
    return any(o.get("kind") == KIND and o.get("name") == endpoint.name for o in owners)


def is_orphan(live: Mapping[str, Any], endpoint: AsyncEndpoint) -> bool:
    """Whether an object without an owner carries all labels of this endpoint: it is adopted.

    Restored from a backup, or left by `kubectl delete --cascade=orphan` (docs/rules.md K17).
    """
    meta = live.get("metadata", {})
    present = meta.get("labels") or {}
    own = labels(endpoint, present.get("app.kubernetes.io/component", ""))
    return not meta.get("ownerReferences") and own.items() <= present.items()
