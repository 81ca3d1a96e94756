"""The gateway's Deployment and PodDisruptionBudget. Pure."""

import json
from collections.abc import Mapping
from typing import Any, Final

from asyncendpoints_core.common.console import ROLES
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.resource.containers import ADMIN_PORT
from asyncendpoints_core.resource.gateway import GRACE_SECONDS, HTTP_PORT
from asyncendpoints_operator.desired.naming import (
    CONSOLE_ANNOTATION,
    GATEWAY,
    Manifest,
    Platform,
    child,
    selector,
)
from asyncendpoints_operator.desired.pod import (
    ADMIN,
    container,
    deployment,
    env_value,
    environment,
    init_containers,
    pod_template,
    probe,
    redis_environment,
    users_part,
)
from asyncendpoints_operator.desired.volumes import (
    CONSOLE_FOLDER,
    ENDPOINT_FOLDER,
    TOKENS_FOLDER,
    WEBHOOKS_FOLDER,
    console_files,
    own_volumes,
    scratch,
    token_files,
    user_mounts,
    user_volumes,
    webhook_files,
)

FIRST_REPLICAS: Final = 2
"""Pods of a new gateway whose number the resource does not set."""
PAUSE_SECONDS: Final = 5
"""Time for load balancers to remove a terminating pod before it stops listening."""
_SCRATCH: Final = "128Mi"

_SPREAD: Final = {
    "maxSkew": 1,
    "topologyKey": "kubernetes.io/hostname",
    "whenUnsatisfiable": "ScheduleAnyway",
}


def gateway_deployment(
    endpoint: AsyncEndpoint, platform: Platform, config: str, console_secrets: Mapping[str, str]
) -> Manifest:
    """Return the gateway's Deployment, whose pods mount the ConfigMap `config` and the Secrets of
    their console, which it keeps the UIDs of.
    """
    gateway = endpoint.spec.gateway
    console = console_files(endpoint, console_secrets)
    volumes = [
        *own_volumes(endpoint, config),
        *token_files(endpoint),
        *webhook_files(endpoint),
        *console,
        *scratch(gateway, _SCRATCH),
    ]
    main = _container(endpoint, platform, [mount for _, mount in volumes], console=bool(console))
    template = pod_template(
        endpoint,
        GATEWAY,
        gateway,
        annotations={},
        terminationGracePeriodSeconds=gateway.termination_grace_period_seconds or GRACE_SECONDS,
        initContainers=init_containers(gateway),
        containers=[main],
        volumes=[*(volume for volume, _ in volumes), *user_volumes(gateway)],
    )
    own_pods = {"labelSelector": {"matchLabels": selector(endpoint, GATEWAY)}}
    template["spec"].setdefault("topologySpreadConstraints", [{**_SPREAD, **own_pods}])
    made = deployment(
        endpoint, GATEWAY, replicas=gateway.replicas, rollout=gateway.rollout, template=template
    )
    if console_secrets:
        text = json.dumps(dict(console_secrets), separators=(",", ":"))
        made["metadata"].setdefault("annotations", {})[CONSOLE_ANNOTATION] = text
    return made


def _container(
    endpoint: AsyncEndpoint, platform: Platform, mounts: list[dict[str, Any]], *, console: bool
) -> dict[str, Any]:
    gateway = endpoint.spec.gateway
    part = users_part(gateway)
    part["resources"] = part["resources"] or dict(platform.gateway_resources)
    part["imagePullPolicy"] = part["imagePullPolicy"] or platform.image_pull_policy
    return container(
        GATEWAY,
        platform.gateway_image,
        environment(_environment(endpoint, platform, console=console), gateway),
        [*mounts, *user_mounts(gateway)],
        command=["asyncendpoints", "gateway"],
        args=["--endpoint", f"{ENDPOINT_FOLDER}/endpoint.yaml"],
        ports=[{"name": "http", "containerPort": HTTP_PORT}, ADMIN],
        startupProbe=probe("/livez", period=1, failures=60),
        readinessProbe=probe("/readyz", period=2, failures=2),
        livenessProbe=probe("/livez", period=10, failures=6),
        lifecycle={"preStop": {"sleep": {"seconds": PAUSE_SECONDS}}},
        **part,
    )


def console_uids(live: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the UIDs of the console's Secrets by role, as the gateway's Deployment has them."""
    annotations = ((live or {}).get("metadata") or {}).get("annotations") or {}
    try:
        found = json.loads(annotations.get(CONSOLE_ANNOTATION, "{}"))
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {role: str(found[role]) for role in ROLES if role in found}


def _environment(
    endpoint: AsyncEndpoint, platform: Platform, *, console: bool
) -> list[dict[str, Any]]:
    own = [
        redis_environment(endpoint),
        env_value("ASYNCENDPOINTS_INSTALLATION_ID", platform.installation),
        env_value("ASYNCENDPOINTS_HTTP_HOST", platform.listen_host),
        env_value("ASYNCENDPOINTS_HTTP_PORT", str(HTTP_PORT)),
        env_value("ASYNCENDPOINTS_ADMIN_HOST", platform.listen_host),
        env_value("ASYNCENDPOINTS_ADMIN_PORT", str(ADMIN_PORT)),
        env_value("ASYNCENDPOINTS_LOG_LEVEL", platform.log_level),
    ]
    if token_files(endpoint):
        own.append(env_value("ASYNCENDPOINTS_AUTH_TOKENS_FILE", f"{TOKENS_FOLDER}/tokens"))
    if endpoint.spec.webhooks_digest:
        own += [env_value(name, value) for name, value in platform.webhook_environment.items()]
    if webhook_files(endpoint):
        own.append(env_value("ASYNCENDPOINTS_WEBHOOKS_FOLDER", WEBHOOKS_FOLDER))
    if console:
        own.append(env_value("ASYNCENDPOINTS_CONSOLE_FOLDER", CONSOLE_FOLDER))
    return own


def disruption_budget(endpoint: AsyncEndpoint) -> Manifest:
    """Return the gateway's PodDisruptionBudget: one pod at a time; unhealthy pods do not block it.

    Workers have none: on a node drain they get SIGTERM and finish their jobs.
    """
    spec = {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": selector(endpoint, GATEWAY)},
    }
    return child(endpoint, GATEWAY, "PodDisruptionBudget", spec=spec)
