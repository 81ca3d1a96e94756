"""The desired child objects of an endpoint, in the order to apply them. Pure.

tests/unit/operator/desired/golden has examples.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from asyncendpoints_core.common.console import DATA_KEY, secret_name
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_operator.desired.config import config_map
from asyncendpoints_operator.desired.gateway import disruption_budget, gateway_deployment
from asyncendpoints_operator.desired.naming import (
    CHILD_KINDS,
    GATEWAY,
    REDIS_KEY,
    WORKER,
    Live,
    Manifest,
    Platform,
    child,
    is_orphan,
    is_ours,
    redis_secret_name,
)
from asyncendpoints_operator.desired.network import (
    http_route,
    ingress,
    network_policies,
    service,
)
from asyncendpoints_operator.desired.pod import service_account
from asyncendpoints_operator.desired.worker import worker_deployment

_REFERRED: Final = ("ConfigMap", "ServiceAccount")
"""The kinds that pods refer to."""


def desired(endpoint: AsyncEndpoint, platform: Platform, live: Live) -> list[Manifest]:
    """Return every child object of `endpoint`, whose metadata.uid must be set.

    ServiceAccounts and ConfigMaps come before the pods that use them, public access comes last.
    """
    if not endpoint.metadata.uid:
        raise ValueError(f"{endpoint.key} has no UID: children would have no owner")
    gateway_config = config_map(endpoint, GATEWAY)
    worker_config = config_map(endpoint, WORKER)
    children: list[Manifest | None] = [
        *(
            service_account(endpoint, component)
            for component, options in (
                (GATEWAY, endpoint.spec.gateway),
                (WORKER, endpoint.spec.worker),
            )
            if options.service_account_name is None
        ),
        gateway_config,
        worker_config,
        service(endpoint),
        disruption_budget(endpoint)
        if endpoint.spec.gateway.pod_disruption_budget.enabled
        else None,
        *network_policies(endpoint, platform),
        gateway_deployment(
            endpoint, platform, gateway_config["metadata"]["name"], live.console_secrets
        ),
        worker_deployment(endpoint, platform, live, worker_config["metadata"]["name"]),
        ingress(endpoint),
        http_route(endpoint),
    ]
    return [one for one in children if one is not None]


def redis_secret(endpoint: AsyncEndpoint, url: str) -> Manifest:
    """Return the Secret with the Redis URL of an endpoint without spec.redis.

    The URL has the endpoint's own user on the operator's Redis. The Secret is applied before the
    child objects, whose pods mount it.
    """
    return _secret(endpoint, WORKER, redis_secret_name(endpoint), {REDIS_KEY: url})


def console_secret(endpoint: AsyncEndpoint, role: str, token: str) -> Manifest:
    """Return the Secret with the token of a role of the endpoint's console."""
    return _secret(endpoint, GATEWAY, secret_name(endpoint.name, role), {DATA_KEY: token})


def _secret(
    endpoint: AsyncEndpoint, component: str, name: str, content: dict[str, str]
) -> Manifest:
    return child(endpoint, component, "Secret", name, type="Opaque", stringData=content)


def identity(manifest: Mapping[str, Any]) -> tuple[str, str]:
    """Return what identifies a child object of an endpoint: kind and name."""
    return manifest["kind"], manifest["metadata"]["name"]


def obsolete(
    endpoint: AsyncEndpoint,
    existing: Iterable[Mapping[str, Any]],
    wanted: Iterable[Manifest],
    pods: Iterable[Mapping[str, Any]],
    *,
    rolling: bool,
) -> list[Mapping[str, Any]]:
    """Return the existing children to delete: of this endpoint, and no longer desired.

    What pods refer to, a ConfigMap or ServiceAccount, is kept while one does and during a rollout
    (`rolling`), because an old ReplicaSet may still have to replace a pod.
    """
    keep = {identity(manifest) for manifest in wanted}
    in_use = {reference for pod in pods for reference in _references(pod.get("spec") or {})}
    kinds = {kind.kind for kind in CHILD_KINDS}
    return [
        one
        for one in existing
        if (is_ours(one, endpoint) or is_orphan(one, endpoint))
        and one["kind"] in kinds
        and identity(one) not in keep
        and not (one["kind"] in _REFERRED and (rolling or identity(one) in in_use))
    ]


def _references(pod: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield the children that the spec of a pod refers to."""
    yield "ServiceAccount", pod.get("serviceAccountName", "")
    for volume in pod.get("volumes") or ():
        if volume.get("configMap"):
            yield "ConfigMap", volume["configMap"].get("name", "")
