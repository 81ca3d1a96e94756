"""The workers' Deployment. Its pod template is a function of the spec alone (docs/rules.md K8).

In HTTP mode the main container is the agent and the user's container is a native sidecar: the
kubelet terminates sidecars after the main containers, so the user's server outlives the agent that
calls it. The agent's image is kept until the spec changes the template, or until the agent refuses
the store's format: an upgrade of the operator does not roll workers.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.resource.containers import ADMIN_PORT
from asyncendpoints_core.resource.worker import GRACE_MARGIN_SECONDS
from asyncendpoints_operator.desired.config import content_hash
from asyncendpoints_operator.desired.naming import (
    AGENT_CONTAINER,
    TARGET_CONTAINER,
    TEMPLATE_ANNOTATION,
    WORKER,
    Live,
    Manifest,
    Platform,
)
from asyncendpoints_operator.desired.pod import (
    ADMIN,
    container,
    deployment,
    env_field,
    env_value,
    environment,
    init_containers,
    pod_template,
    probe,
    redis_environment,
    users_part,
)
from asyncendpoints_operator.desired.volumes import (
    ENDPOINT_FOLDER,
    own_volumes,
    scratch,
    user_mounts,
    user_volumes,
)

LONG_DRAIN_SECONDS: Final = 600
"""Above it, pods are annotated to be left alone by node autoscalers, which wait no longer."""
_STARTUP_SECONDS: Final = 600
_SCRATCH: Final = "1Gi"
_AGENT_RESOURCES: Final = {"requests": {"cpu": "50m", "memory": "96Mi"}}

_DO_NOT_EVICT: Final = {
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}


def grace_seconds(endpoint: AsyncEndpoint) -> int:
    """Return the termination grace period of worker pods, in whole seconds."""
    chosen = endpoint.spec.worker.termination_grace_period_seconds
    return chosen or math.ceil(endpoint.spec.drain_seconds) + GRACE_MARGIN_SECONDS


def worker_deployment(
    endpoint: AsyncEndpoint, platform: Platform, live: Live, config: str
) -> Manifest:
    """Return the workers' Deployment, whose pods mount the ConfigMap `config`."""
    is_http = endpoint.spec.worker.http is not None
    image = "" if is_http else endpoint.spec.worker.image or ""
    template = _template(endpoint, platform, config, image)
    fingerprint = content_hash(template)
    if is_http:
        keep = live.agent_image and live.template == fingerprint
        agent = live.agent_image if keep else platform.worker_image
        template = _template(endpoint, platform, config, agent)
    annotations = template["metadata"].setdefault("annotations", {})
    annotations[TEMPLATE_ANNOTATION] = fingerprint
    return deployment(
        endpoint,
        WORKER,
        replicas=live.replicas,
        rollout=endpoint.spec.worker.rollout,
        template=template,
    )


def live_of(deployment: dict[str, Any] | None, replicas: int, *, refused: bool = False) -> Live:
    """Return the live state of the worker Deployment (None if it does not exist).

    `refused`: its workers refuse the store's format, or keep a feature from being used, so their
    image is not kept.
    """
    if deployment is None or refused:
        return Live(replicas)
    template = deployment["spec"]["template"]
    containers = template["spec"]["containers"]
    image = next((c["image"] for c in containers if c["name"] == AGENT_CONTAINER), "")
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    return Live(replicas, image, annotations.get(TEMPLATE_ANNOTATION, ""))


def _template(
    endpoint: AsyncEndpoint, platform: Platform, config: str, main_image: str
) -> dict[str, Any]:
    worker = endpoint.spec.worker
    own = own_volumes(endpoint, config)
    writable = scratch(worker, _SCRATCH)
    tmp = [mount for _, mount in writable]
    users = {"mounts": [*tmp, *user_mounts(worker)], **users_part(worker)}
    files = [mount for _, mount in own]
    if worker.http is None:
        users["mounts"] = [*files, *users["mounts"]]
        env = environment(_environment(endpoint, platform), worker)
        main = _main(main_image, env, command=worker.command, args=worker.args, **users)
        beside = init_containers(worker)
    else:
        env = environment(_environment(endpoint, platform), None)
        resources = worker.agent_resources or _AGENT_RESOURCES
        main = _main(main_image, env, [*files, *tmp], resources=resources)
        beside = [*init_containers(worker), _sidecar(endpoint, users)]
    return pod_template(
        endpoint,
        WORKER,
        worker,
        annotations=_DO_NOT_EVICT if endpoint.spec.drain_seconds > LONG_DRAIN_SECONDS else {},
        terminationGracePeriodSeconds=grace_seconds(endpoint),
        containers=[main],
        initContainers=beside,
        volumes=[*(volume for volume, _ in [*own, *writable]), *user_volumes(worker)],
    )


def _main(
    image: str,
    env: list[dict[str, Any]],
    mounts: list[dict[str, Any]],
    *,
    command: Sequence[str] = (),
    args: Sequence[str] = (),
    **more: Any,
) -> dict[str, Any]:
    """Return the container with the supervisor, which answers the probes itself.

    /livez fails when its event loop is blocked for 60 s. /readyz means that all child processes
    have imported their handlers; the startup probe allows 10 minutes for that, and it does not need
    Redis.
    """
    return container(
        AGENT_CONTAINER,
        image,
        env,
        mounts,
        command=list(command) or ["asyncendpoints", "worker"],
        args=[
            *("--endpoint", f"{ENDPOINT_FOLDER}/endpoint.yaml"),
            *("--admin-port", str(ADMIN_PORT)),
            *args,
        ],
        ports=[ADMIN],
        startupProbe=probe("/readyz", period=1, failures=_STARTUP_SECONDS),
        readinessProbe=probe("/readyz", period=5, failures=3),
        livenessProbe=probe("/livez", period=10, failures=6),
        **more,
    )


def _sidecar(endpoint: AsyncEndpoint, users: dict[str, Any]) -> dict[str, Any]:
    """Return the user's container as a native sidecar, which has started once it listens."""
    worker = endpoint.spec.worker
    port = worker.http.port if worker.http else 0
    return container(
        TARGET_CONTAINER,
        worker.image or "",
        environment([], worker),
        users.pop("mounts"),
        restartPolicy="Always",
        command=list(worker.command),
        args=list(worker.args),
        ports=[{"name": "jobs", "containerPort": port}],
        startupProbe={
            "tcpSocket": {"port": "jobs"},
            "periodSeconds": 1,
            "failureThreshold": _STARTUP_SECONDS,
        },
        **users,
    )


def _environment(endpoint: AsyncEndpoint, platform: Platform) -> list[dict[str, Any]]:
    return [
        redis_environment(endpoint),
        env_value("ASYNCENDPOINTS_INSTALLATION_ID", platform.installation),
        env_value("ASYNCENDPOINTS_ADMIN_HOST", platform.listen_host),
        env_field("ASYNCENDPOINTS_POD_UID", "metadata.uid"),
    ]
