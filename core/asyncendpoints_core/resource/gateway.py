"""The gateway's part of the resource: limits, access, and how clients reach it."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints, field_validator

from asyncendpoints_core.resource.base import (
    DNS_LABEL,
    Annotations,
    AnyObject,
    Items,
    ObjectName,
    Record,
    Role,
    SecretRef,
    invalid,
    one_of,
    optional,
    pattern,
    unique,
)
from asyncendpoints_core.resource.pods import PodOptions

BASE_PATH: Final = pattern(
    r"^(/[A-Za-z0-9._~!$&'()*+,;=:@-]+)*$", "a path such as /api/v1, without a trailing slash"
)
ORIGIN: Final = pattern(
    r"^(\*|https?://[A-Za-z0-9.:\[\]-]+)$", "an origin such as https://app.example.com, or *"
)
HOST: Final = pattern(
    r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    "a host name in lower case, such as reports.example.com or *.example.com",
)

HTTP_PORT: Final = 8080
"""The port of the gateway in its pods."""
GRACE_SECONDS: Final = 40
"""Grace period of gateway pods: a pause for load balancers, then time to answer requests."""

Hostname = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=HOST)]
Origin = Annotated[str, StringConstraints(max_length=300, pattern=ORIGIN)]
BasePath = Annotated[str, StringConstraints(max_length=256, pattern=BASE_PATH)]
FilePath = Annotated[str, StringConstraints(min_length=1, max_length=4_096)]


class Tokens(Record):
    """The source of the bearer tokens, one per line; changes are picked up without a restart."""

    secret_ref: SecretRef | None = optional("Key of a Secret with the tokens, one per line.")
    file: Annotated[FilePath | None, one_of("secret_ref", "file")] = optional(
        "File with the tokens, one per line; a relative path is relative to the "
        "directory of the resource's file. For `asyncendpoints run` and mounted volumes.",
        validate_default=True,
    )


class Auth(Record):
    """Authentication of clients."""

    tokens: Tokens = Field(
        description="Bearer tokens; any of them gives access to everything but the probes. "
        "Several tokens allow rotation. They are compared in constant time.",
    )


class Cors(Record):
    """Cross-origin requests from browsers."""

    allow_origins: Annotated[Items[Origin], unique("origin")] = Field(
        min_length=1,
        max_length=32,
        description='Allowed origins, such as https://app.example.com; "*" allows all.',
    )


class Service(Record):
    """The Service in front of the gateway."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field(
        default="ClusterIP", description="Type of the Service. Default: ClusterIP."
    )
    annotations: Annotations = Field(
        default={}, description="Annotations, such as for a cloud load balancer. Default: none."
    )


class Ingress(Record):
    """An Ingress for the gateway. Its path is `gateway.basePath`."""

    class_name: ObjectName | None = optional("IngressClass. Absent: the cluster's default.")
    host: Hostname = Field(description="Host name that clients use.")
    tls_secret: ObjectName | None = optional("Secret with the TLS certificate. Absent: plain HTTP.")
    annotations: Annotations = Field(
        default={}, description="Annotations, such as for cert-manager. Default: none."
    )


class ParentRef(Record):
    """A Gateway of the Gateway API that the route attaches to."""

    name: ObjectName = Field(description="Name of the Gateway.")
    namespace: Annotated[str, Field(max_length=63, pattern=DNS_LABEL)] | None = optional(
        "Namespace of the Gateway. Absent: that of the resource."
    )
    section_name: ObjectName | None = optional("Listener of the Gateway. Absent: all listeners.")


class HttpRoute(Record):
    """An HTTPRoute of the Gateway API for the gateway."""

    parent_refs: Items[ParentRef] = Field(
        min_length=1, max_length=8, description="Gateways that the route attaches to."
    )
    hostnames: Annotated[Items[Hostname], unique("host name")] = Field(
        default=(),
        max_length=16,
        description="Host names that clients use. Default: all host names of the Gateway.",
    )
    annotations: Annotations = Field(default={}, description="Annotations. Default: none.")


class DisruptionBudget(Record):
    """The PodDisruptionBudget of the gateway: one pod at a time."""

    enabled: bool = Field(default=True, description="Whether there is one. Default: true.")


class Console(Record):
    """The console and operations API of the gateway's pods, on their loopback addresses."""

    enabled: bool = Field(
        default=True,
        description="Whether there is one. It requires a token: those of the Secrets "
        "NAME-console-view and NAME-console-operate, which the operator makes. Default: true.",
    )
    read_only: bool = Field(
        default=False, description="Whether it refuses every change. Default: false."
    )
    bodies: bool = Field(
        default=True, description="Whether it shows bodies and results of jobs. Default: true."
    )


class GatewaySpec(PodOptions):
    """The HTTP gateway: it accepts requests with 202 and reports the state of jobs."""

    replicas: Annotated[Annotated[int, Field(ge=0, le=100)] | None, Role.OPERATOR] = optional(
        "Number of gateway pods. 0 stops the gateway: Ready=False, reason "
        "GatewayStopped. Absent: 2 at first, and then what an autoscaler (HPA) or `kubectl scale` "
        "sets on the Deployment."
    )
    max_body_bytes: Annotated[int, Role.GATEWAY] = Field(
        default=1_048_576,
        ge=0,
        le=16_777_216,
        description="Maximum size of a request body in bytes, after decoding gzip or deflate; "
        "larger ones are rejected with 413. Bodies are stored in Redis: put larger inputs into "
        "object storage and their URL into the body. Default: 1048576 (1 MiB).",
    )
    max_header_bytes: Annotated[int, Role.GATEWAY] = Field(
        default=16_384,
        ge=4_096,
        le=262_144,
        description="Maximum size of all request headers together, in bytes; larger ones are "
        "rejected with 431. Default: 16384 (16 KiB).",
    )
    max_waiters: Annotated[int, Role.GATEWAY] = Field(
        default=1_000,
        ge=0,
        le=100_000,
        description="Maximum number of concurrently waiting requests in one gateway pod (long "
        "polls, event streams, Prefer: wait). Further ones are answered immediately instead of "
        "waiting. Default: 1000.",
    )
    base_path: Annotated[BasePath, Role.GATEWAY, Role.OPERATOR] = Field(
        default="",
        description="Path prefix that a proxy in front of the gateway strips, such as /api/v1. It "
        "is prepended to Location, links and the OpenAPI server URL. Default: none.",
    )
    list_: Annotated[bool, Role.GATEWAY] = Field(
        default=True,
        description="Whether GET /jobs lists jobs. Set to false if clients must not see each "
        "other's jobs. Default: true.",
    )
    auth: Annotated[Auth | None, Role.GATEWAY, Role.OPERATOR] = optional(
        "Bearer tokens that clients must send, except for the probes. Absent: no authentication."
    )
    cors: Annotated[Cors | None, Role.GATEWAY] = optional(
        "Origins that browsers may call from. Absent: none."
    )
    console: Annotated[Console, Role.GATEWAY, Role.OPERATOR] = Field(
        default=Console(),
        description="The console of the gateway's pods, reached by `kubectl port-forward`.",
    )
    service: Annotated[Service, Role.OPERATOR] = Field(
        default=Service(), description="The Service in front of the pods."
    )
    ingress: Annotated[Ingress | None, Role.OPERATOR] = optional("Create an Ingress. Absent: none.")
    http_route: Annotated[HttpRoute | None, Role.OPERATOR] = optional(
        "Create an HTTPRoute (Gateway API). Absent: none."
    )
    pod_disruption_budget: Annotated[DisruptionBudget, Role.OPERATOR] = Field(
        default=DisruptionBudget(), description="Limits voluntary disruptions of the pods."
    )
    termination_grace_period_seconds: Annotated[int | None, Role.OPERATOR] = optional(
        "Grace period of the pods in seconds, at least 40. Absent: 40.", ge=GRACE_SECONDS, le=3_600
    )

    @field_validator("init_containers", "sidecars")
    @classmethod
    def _leaves_the_port(cls, value: Any) -> Any:
        if any(p.container_port == HTTP_PORT for c in value for p in c.ports):
            raise invalid(f"port {HTTP_PORT} is the gateway's own")
        return value


class NetworkPolicy(Record):
    """NetworkPolicies that deny connections to workers and restrict those to the gateway."""

    gateway_from: Items[AnyObject] = Field(
        default=(),
        max_length=16,
        description="Peers that may reach the gateway, as in a NetworkPolicy (podSelector, "
        "namespaceSelector, ipBlock). Default: all.",
    )
