"""The common parts of gateway and worker pods: security, environment, scheduling. Pure.

Every pod passes the `restricted` Pod Security Standard, sets no UID (OpenShift assigns one), has a
read-only root file system with a sized /tmp as HOME, and mounts no service account token unless
the user brings a ServiceAccount.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from asyncendpoints_core.resource import AsyncEndpoint, PodOptions
from asyncendpoints_core.resource.base import Record
from asyncendpoints_core.resource.containers import (
    ADMIN_PORT,
    Container,
    EnvVar,
    SecurityContext,
)
from asyncendpoints_operator.desired.naming import (
    REDIS_KEY,
    Manifest,
    child,
    child_name,
    labels,
    selector,
)
from asyncendpoints_operator.desired.volumes import REDIS_FOLDER, dump

_INSTALLATION: Final = "ASYNCENDPOINTS_WEBHOOK"
"""Prefix of the variables that an endpoint cannot set: they limit what its webhooks reach."""

_RESTRICTED: Final[dict[str, Any]] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}
_CONTAINER_SECURITY: Final[dict[str, Any]] = {**_RESTRICTED, "readOnlyRootFilesystem": True}


def env_value(name: str, value: str) -> dict[str, Any]:
    """Return an environment variable."""
    return {"name": name, "value": value}


def env_field(name: str, path: str) -> dict[str, Any]:
    """Return an environment variable with a field of the pod (downward API)."""
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def environment(own: Sequence[dict[str, Any]], options: PodOptions | None) -> list[dict[str, Any]]:
    """Return the operator's variables, then the user's, which may refer to the former.

    The operator's take precedence, and where webhooks may be sent to is the installation's to say.
    HOME is the writable /tmp unless the user sets it.
    """
    names = {variable["name"] for variable in own}
    users = [
        variable
        for variable in (options.env if options else ())
        if variable.name not in names and not variable.name.startswith(_INSTALLATION)
    ]
    result = [*own, *_variables(users)]
    names |= {variable.name for variable in users}
    return result if "HOME" in names else [*result, env_value("HOME", "/tmp")]  # noqa: S108


def _variables(env: Iterable[EnvVar]) -> list[dict[str, Any]]:
    dumped = [one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in env]
    return [{**one, "value": ""} if len(one) == 1 else one for one in dumped]


def redis_environment(endpoint: AsyncEndpoint) -> dict[str, Any]:
    """Return the environment variable with the URL of Redis, or the file that holds it."""
    url = endpoint.spec.redis.url
    if url is not None:
        return env_value("ASYNCENDPOINTS_REDIS_URL", url)
    return env_value("ASYNCENDPOINTS_REDIS_URL_FILE", f"{REDIS_FOLDER}/{REDIS_KEY}")


def container(
    name: str,
    image: str,
    env: list[dict[str, Any]],
    mounts: Iterable[dict[str, Any]],
    **more: Any,
) -> dict[str, Any]:
    """Return a restricted container with the parts of `more` that are not empty."""
    return {
        "name": name,
        "image": image,
        "env": env,
        "volumeMounts": list(mounts),
        "securityContext": _CONTAINER_SECURITY,
        **_given(more),
    }


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that are not empty."""
    return {key: value for key, value in fields.items() if value}


def users_part(options: PodOptions) -> dict[str, Any]:
    """Return the resource's options for the container with the user's code (or the gateway)."""
    return {
        "imagePullPolicy": options.pull_policy,
        "envFrom": [dump(source) for source in options.env_from],
        "resources": options.resources,
        "securityContext": _security(_CONTAINER_SECURITY, options.security_context),
    }


def _security(restricted: dict[str, Any], context: SecurityContext) -> dict[str, Any]:
    """Return a security context, with the restricted profile for what is absent in the user's."""
    users = dump(context)
    capabilities = {**restricted["capabilities"], **users.pop("capabilities", {})}
    return {**restricted, **users, "capabilities": capabilities}


def init_containers(options: PodOptions) -> list[dict[str, Any]]:
    """Return the user's init containers, then the sidecars as native ones (KEP-753).

    The kubelet terminates native sidecars after the main containers: a draining worker keeps them.
    """
    first = [_beside(one, one.restart_policy) for one in options.init_containers]
    return [*first, *(_beside(one, "Always") for one in options.sidecars)]


def _beside(users: Container, restart_policy: str | None) -> dict[str, Any]:
    """Return a container of the user; without a read-only root, which few images expect.

    What it printed last is its termination message: conditions quote it if it keeps failing.
    """
    return {
        **dump(users),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **_given({"env": _variables(users.env), "restartPolicy": restart_policy}),
        "securityContext": _security(_RESTRICTED, users.security_context),
    }


def probe(path: str, *, period: int, failures: int) -> dict[str, Any]:
    """Return an HTTP probe of the admin port; all times in seconds."""
    return {
        "httpGet": {"path": path, "port": "admin"},
        "periodSeconds": period,
        "failureThreshold": failures,
        "timeoutSeconds": 5,
    }


ADMIN: Final = {"name": "admin", "containerPort": ADMIN_PORT}


def pod_template(
    endpoint: AsyncEndpoint,
    component: str,
    options: PodOptions,
    *,
    annotations: dict[str, str],
    **spec: Any,
) -> dict[str, Any]:
    """Return a pod template with the resource's options for all pods.

    The user's annotations take precedence over `annotations`, but not their labels over the
    operator's.
    """
    own_account = options.service_account_name is None
    security: dict[str, Any] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    template: dict[str, Any] = {
        "metadata": {
            "labels": {**endpoint.spec.labels, **options.labels, **labels(endpoint, component)}
        },
        "spec": {
            "enableServiceLinks": False,
            "serviceAccountName": options.service_account_name or child_name(endpoint, component),
            "securityContext": {**security, **dump(options.pod_security_context)},
            **_given(spec),
            **_scheduling(endpoint, component, options),
        },
    }
    if own_account:
        template["spec"]["automountServiceAccountToken"] = False
    if merged := {**annotations, **endpoint.spec.annotations, **options.annotations}:
        template["metadata"]["annotations"] = merged
    return template


def _scheduling(endpoint: AsyncEndpoint, component: str, options: PodOptions) -> dict[str, Any]:
    """Return the resource's options for scheduling and name resolution that are set."""
    own_pods = {"labelSelector": {"matchLabels": selector(endpoint, component)}}
    scheduling = {
        "imagePullSecrets": [dump(secret) for secret in options.image_pull_secrets],
        "nodeSelector": options.node_selector,
        "tolerations": [dump(toleration) for toleration in options.tolerations],
        "affinity": options.affinity,
        "topologySpreadConstraints": [
            {**own_pods, **constraint} for constraint in options.topology_spread_constraints
        ],
        "priorityClassName": options.priority_class_name,
        "runtimeClassName": options.runtime_class_name,
        "schedulerName": options.scheduler_name,
        "hostAliases": [dump(alias) for alias in options.host_aliases],
        "dnsPolicy": options.dns_policy,
        "dnsConfig": dump(options.dns_config) if options.dns_config else None,
    }
    return _given(scheduling)


def service_account(endpoint: AsyncEndpoint, component: str) -> Manifest:
    """Return a ServiceAccount without a token."""
    return child(endpoint, component, "ServiceAccount", automountServiceAccountToken=False)


def deployment(
    endpoint: AsyncEndpoint,
    component: str,
    *,
    replicas: int | None,
    rollout: Record,
    template: dict[str, Any],
) -> Manifest:
    """Return a Deployment. None for replicas: they are written as they are (docs/rules.md K16).

    `paused` is written, so that `kubectl rollout pause` is drift: changes would never arrive.
    """
    spec = {
        **({} if replicas is None else {"replicas": replicas}),
        "paused": False,
        "revisionHistoryLimit": 2,
        "selector": {"matchLabels": selector(endpoint, component)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": dump(rollout)},
        "template": template,
    }
    return child(endpoint, component, "Deployment", spec=spec)
