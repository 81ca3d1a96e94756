"""The settings of the operator, most of which its chart sets."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from asyncendpoints_core import __version__
from asyncendpoints_core.process.setting_info import About
from asyncendpoints_core.process.webhook_settings import WebhookSettings

PullPolicy = Literal["Always", "IfNotPresent", "Never"]


@dataclass(frozen=True, slots=True)
class OperatorSettings(WebhookSettings):
    """The settings of an installation on Kubernetes."""

    operator_namespace: Annotated[
        str,
        About(
            "Namespace of the operator and its Lease. Set by the chart.",
            env="OPERATOR_NAMESPACE",
            kind="name",
            readers="operator",
        ),
    ] = "asyncendpoints"
    operator_identity: Annotated[
        str | None,
        About(
            "Name of this replica in the leader election. Set by the chart.",
            env="OPERATOR_IDENTITY",
            kind="name",
            shown="derived from the host name",
            readers="operator",
        ),
    ] = None
    lease_name: Annotated[
        str,
        About(
            "Name of the Lease for leader election. Set by the chart.",
            env="LEASE_NAME",
            kind="name",
            readers="operator",
        ),
    ] = "asyncendpoints-operator"
    lease_seconds: Annotated[
        int,
        About(
            "Duration of the leader's lease. It is renewed five times in that time, and a leader "
            "that cannot renew it stops its work after 6/10 of it.",
            env="LEASE_SECONDS",
            kind="number",
            unit="seconds",
            readers="operator",
            low=5,
            high=60,
        ),
    ] = 10
    class_name: Annotated[
        str | None,
        About(
            "The operator manages only resources with this spec.className.",
            env="CLASS_NAME",
            kind="name",
            shown="resources without one",
            readers="operator",
        ),
    ] = None
    watch_namespaces: Annotated[
        str | None,
        About(
            "Namespaces that the operator manages, separated by commas.",
            env="WATCH_NAMESPACES",
            shown="all",
            readers="operator",
        ),
    ] = None
    gateway_image: Annotated[
        str,
        About(
            "Image of the gateways.",
            env="GATEWAY_IMAGE",
            readers="operator",
        ),
    ] = f"asyncendpoints/gateway:{__version__}"
    worker_image: Annotated[
        str,
        About(
            "Image of the main container of workers in HTTP mode.",
            env="WORKER_IMAGE",
            readers="operator",
        ),
    ] = f"asyncendpoints/worker:{__version__}"
    image_pull_policy: Annotated[
        PullPolicy | None,
        About(
            "Image pull policy of gateways.",
            env="IMAGE_PULL_POLICY",
            kind="choice",
            shown="the default of Kubernetes",
            readers="operator",
            choices=("Always", "IfNotPresent", "Never"),
        ),
    ] = None
    pod_listen_host: Annotated[
        str,
        About(
            'Address that gateways and workers listen on in their pods; "::" in an IPv6-only '
            "cluster. A change replaces all pods.",
            env="POD_LISTEN_HOST",
            readers="operator",
        ),
    ] = "0.0.0.0"  # noqa: S104 - pods are reached by their own address
    metrics_from: Annotated[
        tuple[Mapping[str, Any], ...],
        About(
            "Peers that may reach the admin ports of endpoints with spec.networkPolicy, such as "
            "Prometheus, as in a NetworkPolicy. Set by the chart.",
            env="METRICS_FROM",
            kind="objects",
            shown="none",
            readers="operator",
        ),
    ] = ()
    redis_acl: Annotated[
        bool,
        About(
            "Whether each endpoint on the operator's Redis gets its own Redis user, with access to "
            "its own keys only. Set to false if the server does not allow ACL commands.",
            env="REDIS_ACL",
            kind="switch",
            readers="operator",
        ),
    ] = True
    console_password_file: Annotated[
        Path | None,
        About(
            "File with the password of the Redis user of the console of all endpoints. If it is "
            "set, the operator lists the endpoints in its Redis for that console; if the file "
            "exists, it creates the user. Set by the chart.",
            env="CONSOLE_PASSWORD_FILE",
            kind="path",
            readers="operator",
        ),
    ] = None
    resync_seconds: Annotated[
        int,
        About(
            "Interval at which the operator lists all objects and reconciles every endpoint, in "
            "addition to watching.",
            env="RESYNC_SECONDS",
            kind="number",
            unit="seconds",
            readers="operator",
            low=10,
            high=3_600,
        ),
    ] = 300
    idle_poll_seconds: Annotated[
        int,
        About(
            "Interval at which the queue of an idle endpoint is read. Redis notifies the operator "
            "of new jobs immediately; the queues of other endpoints are read every second.",
            env="IDLE_POLL_SECONDS",
            kind="number",
            unit="seconds",
            readers="operator",
            low=1,
            high=60,
        ),
    ] = 10
    counts_seconds: Annotated[
        int,
        About(
            "Minimum time between two status updates of an endpoint that change only counts. It "
            "grows while more than 50 endpoints change, to 10 seconds at most.",
            env="COUNTS_SECONDS",
            kind="number",
            unit="seconds",
            readers="operator",
            low=1,
            high=300,
        ),
    ] = 1
    keep_seconds: Annotated[
        int,
        About(
            "How long the jobs of a deleted resource with onDelete: Keep are kept, so that a new "
            "resource of the same name can adopt them.",
            env="KEEP_SECONDS",
            kind="number",
            unit="seconds",
            readers="operator",
            high=604_800,
        ),
    ] = 600
    startup_seconds: Annotated[
        int,
        About(
            "Expected startup time of a worker until it has been measured: retries that are due "
            "within it count as demand.",
            env="STARTUP_SECONDS",
            kind="number",
            unit="seconds",
            readers="operator",
            high=600,
        ),
    ] = 5
