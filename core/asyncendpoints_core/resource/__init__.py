"""The AsyncEndpoint resource: one model for local files and for objects in a cluster."""

from asyncendpoints_core.resource.cluster import MAX_NAME_LENGTH, cluster_faults
from asyncendpoints_core.resource.gateway import (
    Auth,
    Cors,
    GatewaySpec,
    HttpRoute,
    Ingress,
    NetworkPolicy,
    ParentRef,
    Service,
    Tokens,
)
from asyncendpoints_core.resource.model import (
    API_VERSION,
    GROUP,
    KIND,
    MAX_REPLICAS,
    VERSION,
    AsyncEndpoint,
    EndpointSpec,
    Metadata,
)
from asyncendpoints_core.resource.pods import (
    EnvFrom,
    EnvVar,
    PodOptions,
    PodSecurityContext,
    Rollout,
    Toleration,
    Volume,
    VolumeMount,
)
from asyncendpoints_core.resource.queue import (
    RELEASE_BUDGET,
    QueueSpec,
    RedisSpec,
    RetentionSpec,
    RetrySpec,
    TimeoutsSpec,
)
from asyncendpoints_core.resource.routes import Route
from asyncendpoints_core.resource.worker import AutoscalingSpec, HttpWorker, WorkerSpec

__all__ = [
    "API_VERSION",
    "GROUP",
    "KIND",
    "MAX_NAME_LENGTH",
    "MAX_REPLICAS",
    "RELEASE_BUDGET",
    "VERSION",
    "AsyncEndpoint",
    "Auth",
    "AutoscalingSpec",
    "Cors",
    "EndpointSpec",
    "EnvFrom",
    "EnvVar",
    "GatewaySpec",
    "HttpRoute",
    "HttpWorker",
    "Ingress",
    "Metadata",
    "NetworkPolicy",
    "ParentRef",
    "PodOptions",
    "PodSecurityContext",
    "QueueSpec",
    "RedisSpec",
    "RetentionSpec",
    "RetrySpec",
    "Rollout",
    "Route",
    "Service",
    "TimeoutsSpec",
    "Tokens",
    "Toleration",
    "Volume",
    "VolumeMount",
    "WorkerSpec",
    "cluster_faults",
]
