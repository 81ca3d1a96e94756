"""The settings that only the operator has; its chart sets most of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from asyncendpoints_core import __version__
from asyncendpoints_core.process.role_settings import ProcessSettings
from asyncendpoints_core.process.setting_info import About

PullPolicy = Literal["Always", "IfNotPresent", "Never"]


@dataclass(frozen=True, slots=True)
class OperatorSettings(ProcessSettings):
    """What belongs to an installation on Kubernetes."""

    operator_namespace: Annotated[
        str,
        About(
            "Namespace of the operator itself: where its Lease is. Set by the chart.",
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
            shown="made from the host's name",
            readers="operator",
        ),
    ] = None
    lease_name: Annotated[
        str,
        About(
            "Name of the Lease by which one replica leads. Set by the chart.",
            env="LEASE_NAME",
            kind="name",
            readers="operator",
        ),
    ] = "asyncendpoints-operator"
    lease_seconds: Annotated[
        int,
        About(
            "How long a silent leader keeps the lease. It renews five times as often, and stops "
            "its own work after 6/10 of it.",
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
            "The operator acts only on resources with this spec.className.",
            env="CLASS_NAME",
            kind="name",
            shown="those without one",
            readers="operator",
        ),
    ] = None
    watch_namespaces: Annotated[
        str | None,
        About(
            "Namespaces that the operator serves, with commas between them.",
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
            "When the images of gateways are pulled.",
            env="IMAGE_PULL_POLICY",
            kind="choice",
            shown="what Kubernetes does by the tag",
            readers="operator",
            choices=("Always", "IfNotPresent", "Never"),
        ),
    ] = None
    pod_listen_host: Annotated[
        str,
        About(
            'Address that gateways and workers listen on in their pods; "::" in a cluster that has '
            "IPv6 alone. A change replaces every pod.",
            env="POD_LISTEN_HOST",
            readers="operator",
        ),
    ] = "0.0.0.0"  # noqa: S104 - pods are reached by their own address
    metrics_from: Annotated[
        tuple[Mapping[str, Any], ...],
        About(
            "Who may reach the admin ports of endpoints with spec.networkPolicy, such as "
            "Prometheus: peers as in a NetworkPolicy. Set by the chart.",
            env="METRICS_FROM",
            kind="objects",
            shown="nobody",
            readers="operator",
        ),
    ] = ()
    redis_acl: Annotated[
        bool,
        About(
            "Whether each endpoint on the operator's Redis gets a Redis user of its own, that sees "
            "no keys but its own. false where the server forbids ACL commands.",
            env="REDIS_ACL",
            kind="switch",
            readers="operator",
        ),
    ] = True
    resync_seconds: Annotated[
        int,
        About(
            "How often the operator lists everything anew and looks at each endpoint, whatever it "
            "was told of.",
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
            "How often the figures of an endpoint with nothing to do are read. New jobs are told "
            "by Redis at once; others are read each second.",
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
            "Least time between two changes of a status that concern only counts.",
            env="COUNTS_SECONDS",
            kind="number",
            unit="seconds",
            readers="operator",
            low=1,
            high=300,
        ),
    ] = 10
    keep_seconds: Annotated[
        int,
        About(
            "How long the jobs of a deleted resource with onDelete: Keep stay, for a resource of "
            "the same name to adopt.",
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
            "How long a worker takes to start, until it was seen: retries that fall due within it "
            "count as work now.",
            env="STARTUP_SECONDS",
            kind="number",
            unit="seconds",
            readers="operator",
            high=600,
        ),
    ] = 5
