"""The AsyncEndpoint resource: one model for local files and for objects in a cluster."""

from asyncendpoints_core.resource.cluster import MAX_NAME_LENGTH, cluster_faults
from asyncendpoints_core.resource.gateway import GatewaySpec
from asyncendpoints_core.resource.model import (
    API_VERSION,
    GROUP,
    KIND,
    VERSION,
    AsyncEndpoint,
    EndpointSpec,
    Metadata,
)
from asyncendpoints_core.resource.pods import PodOptions
from asyncendpoints_core.resource.queue import RetrySpec
from asyncendpoints_core.resource.routes import Route
from asyncendpoints_core.resource.worker import WorkerSpec

__all__ = [
    "API_VERSION",
    "GROUP",
    "KIND",
    "MAX_NAME_LENGTH",
    "VERSION",
    "AsyncEndpoint",
    "EndpointSpec",
    "GatewaySpec",
    "Metadata",
    "PodOptions",
    "RetrySpec",
    "Route",
    "WorkerSpec",
    "cluster_faults",
]
