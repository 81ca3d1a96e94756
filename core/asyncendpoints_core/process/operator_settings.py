"""The settings of the operator, most of which its chart sets."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from asyncendpoints_core import __version__
from asyncendpoints_core.process.setting_info import About
from asyncendpoints_core.process.webhook_settings import WebhookSettings

PullPolicy = Literal["Always", "IfNotPresent", "Never"]
_about: Final = partial(About, readers="operator")


@dataclass(frozen=True, slots=True)
class OperatorSettings(WebhookSettings):
    """The settings of an installation on Kubernetes."""

    operator_namespace: Annotated[
        str, _about("Namespace of the operator and its Lease. Set by the chart.", kind="name")
    ] = "asyncendpoints"
    operator_identity: Annotated[
        str | None,
        _about(
            "Name of this replica in the leader election. Set by the chart.",
            kind="name",
            shown="derived from the host name",
        ),
    ] = None
    lease_name: Annotated[
        str, _about("Name of the Lease for leader election. Set by the chart.", kind="name")
    ] = "asyncendpoints-operator"
    lease_seconds: Annotated[
        int,
        _about(
            "Duration of the leader's lease. It is renewed five times in that time, and a leader "
            "that cannot renew it stops its work after 6/10 of it.",
            unit="seconds",
            low=5,
            high=60,
        ),
    ] = 10
    class_name: Annotated[
        str | None,
        _about(
            "The operator manages only resources with this spec.className.",
            kind="name",
            shown="resources without one",
        ),
    ] = None
    watch_namespaces: Annotated[
        str | None,
        _about("Namespaces that the operator manages, separated by commas.", shown="all"),
    ] = None
    gateway_image: Annotated[str, _about("Image of the gateways.")] = (
        f"asyncendpoints/gateway:{__version__}"
    )
    worker_image: Annotated[str, _about("Image of the main container of workers in HTTP mode.")] = (
        f"asyncendpoints/worker:{__version__}"
    )
    image_pull_policy: Annotated[
        PullPolicy | None,
        _about("Image pull policy of gateways.", shown="the default of Kubernetes"),
    ] = None
    pod_listen_host: Annotated[
        str,
        _about(
            'Address that gateways and workers listen on in their pods; "::" in an IPv6-only '
            "cluster. A change replaces all pods."
        ),
    ] = "0.0.0.0"  # noqa: S104 - pods are reached by their own address
    metrics_from: Annotated[
        tuple[Mapping[str, Any], ...],
        _about(
            "Peers that may reach the admin ports of endpoints with spec.networkPolicy, such as "
            "Prometheus, as in a NetworkPolicy. Set by the chart.",
            kind="objects",
            shown="none",
        ),
    ] = ()
    redis_acl: Annotated[
        bool,
        _about(
            "Whether each endpoint on the operator's Redis gets its own Redis user, with access to "
            "its own keys only. Set to false if the server does not allow ACL commands."
        ),
    ] = True
    console_password_file: Annotated[
        Path | None,
        _about(
            "File with the password of the Redis user of the console of all endpoints. If it is "
            "set, the operator lists the endpoints in its Redis for that console; if the file "
            "exists, it creates the user. Set by the chart."
        ),
    ] = None
    resync_seconds: Annotated[
        int,
        _about(
            "Interval at which the operator lists all objects and reconciles every endpoint, in "
            "addition to watching.",
            unit="seconds",
            low=10,
            high=3_600,
        ),
    ] = 300
    idle_poll_seconds: Annotated[
        int,
        _about(
            "Interval at which the queue of an idle endpoint is read. Redis notifies the operator "
            "of new jobs immediately; the queues of other endpoints are read every second.",
            unit="seconds",
            low=1,
            high=60,
        ),
    ] = 10
    counts_seconds: Annotated[
        int,
        _about(
            "Minimum time between two status updates of an endpoint that change only counts. It "
            "grows while more than 50 endpoints change, to 10 seconds at most.",
            unit="seconds",
            low=1,
            high=300,
        ),
    ] = 1
    keep_seconds: Annotated[
        int,
        _about(
            "How long the jobs of a deleted resource with onDelete: Keep are kept, so that a new "
            "resource of the same name can adopt them.",
            unit="seconds",
            high=604_800,
        ),
    ] = 600
    startup_seconds: Annotated[
        int,
        _about(
            "Expected startup time of a worker until it has been measured: retries that are due "
            "within it count as demand.",
            unit="seconds",
            high=600,
        ),
    ] = 5
