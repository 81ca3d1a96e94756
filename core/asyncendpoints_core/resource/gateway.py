"""The gateway's part of the resource: limits, who may call it, and how it is reached."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from asyncendpoints_core.resource.base import (
    DNS_LABEL,
    Annotations,
    AnyObject,
    Items,
    ObjectName,
    Record,
    Role,
    SecretRef,
    exactly_one,
    pattern,
    unique,
)
from asyncendpoints_core.resource.pods import PodOptions, Rollout

BASE_PATH: Final = pattern(
    r"^(/[A-Za-z0-9._~!$&'()*+,;=:@-]+)*$", "a path such as /api/v1, without a slash at its end"
)
ORIGIN: Final = pattern(
    r"^(\*|https?://[A-Za-z0-9.:\[\]-]+)$", "an origin such as https://app.example.com, or *"
)
HOST: Final = pattern(
    r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    "a host name in lower case, such as reports.example.com or *.example.com",
)

Hostname = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=HOST)]
Origin = Annotated[str, StringConstraints(max_length=300, pattern=ORIGIN)]
BasePath = Annotated[str, StringConstraints(max_length=256, pattern=BASE_PATH)]
FilePath = Annotated[str, StringConstraints(min_length=1, max_length=4_096)]


class Tokens(Record):
    """Where the bearer tokens are: one a line, read again when they change."""

    secret_ref: SecretRef | None = Field(
        default=None, description="Entry of a Secret with the tokens, one a line."
    )
    file: FilePath | None = Field(
        default=None,
        validate_default=True,
        description="File with the tokens, one a line; a relative path starts at the folder of "
        "the resource's file. For `asyncendpoints run` and mounted volumes.",
    )

    @field_validator("file")
    @classmethod
    def _one_source(cls, value: Any, info: ValidationInfo) -> Any:
        exactly_one({**info.data, "file": value}, ("secret_ref", "file"))
        return value


class Auth(Record):
    """Who may call the gateway."""

    tokens: Tokens = Field(
        description="Bearer tokens, any of which opens every path but the probes (several, so that "
        "they can be changed one after the other). They are compared in constant time.",
    )


class Cors(Record):
    """Which web pages of other origins may call the gateway."""

    allow_origins: Annotated[Items[Origin], unique("origin")] = Field(
        min_length=1,
        max_length=32,
        description='Origins such as https://app.example.com; "*" is every one.',
    )


class Service(Record):
    """The Service in front of the gateway."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field(
        default="ClusterIP", description="Type of the Service. Default: ClusterIP."
    )
    annotations: Annotations = Field(
        default={}, description="Annotations, for a cloud's load balancer. Default: none."
    )


class Ingress(Record):
    """An Ingress for the gateway. A path in front of it is `gateway.basePath`."""

    class_name: ObjectName | None = Field(
        default=None, description="IngressClass. Absent: the cluster's default."
    )
    host: Hostname = Field(description="Host name that clients use.")
    tls_secret: ObjectName | None = Field(
        default=None, description="Secret with the certificate of the host. Absent: plain HTTP."
    )
    annotations: Annotations = Field(
        default={}, description="Annotations, for the controller or cert-manager. Default: none."
    )


class ParentRef(Record):
    """A Gateway of the Gateway API that the route hangs on."""

    name: ObjectName = Field(description="Name of the Gateway.")
    namespace: Annotated[str, Field(max_length=63, pattern=DNS_LABEL)] | None = Field(
        default=None, description="Its namespace. Absent: the resource's own."
    )
    section_name: ObjectName | None = Field(
        default=None, description="Its listener. Absent: every one."
    )


class HttpRoute(Record):
    """An HTTPRoute of the Gateway API for the gateway."""

    parent_refs: Items[ParentRef] = Field(
        min_length=1, max_length=8, description="Gateways that the route hangs on."
    )
    hostnames: Annotated[Items[Hostname], unique("host name")] = Field(
        default=(),
        max_length=16,
        description="Host names that clients use. Default: all of the Gateway's.",
    )
    annotations: Annotations = Field(default={}, description="Annotations. Default: none.")


class GatewaySpec(PodOptions):
    """The HTTP side: it takes requests, answers 202, and tells how jobs are doing."""

    replicas: Annotated[int, Role.OPERATOR] = Field(
        default=2,
        ge=0,
        le=100,
        description="Pods of the gateway. 0 stops it: Ready=False, reason GatewayStopped. "
        "Default: 2.",
    )
    max_body_bytes: Annotated[int, Role.GATEWAY] = Field(
        default=1_048_576,
        ge=0,
        le=16_777_216,
        description="Largest body of a request, in bytes, after decoding gzip or deflate; a larger "
        "one is answered 413. Bodies are kept in Redis: larger inputs belong into object storage, "
        "and their address into the body. Default: 1048576 (1 MiB).",
    )
    max_header_bytes: Annotated[int, Role.GATEWAY] = Field(
        default=16_384,
        ge=4_096,
        le=262_144,
        description="Largest head of a request (all headers together), in bytes; a larger one is "
        "answered 431. Default: 16384 (16 KiB).",
    )
    max_waiters: Annotated[int, Role.GATEWAY] = Field(
        default=1_000,
        ge=0,
        le=100_000,
        description="Requests of one gateway pod that may wait at a time (long polls, event "
        "streams, Prefer: wait). One more is answered at once instead of waiting. Default: 1000.",
    )
    base_path: Annotated[BasePath, Role.GATEWAY, Role.OPERATOR] = Field(
        default="",
        description="Path that a proxy in front takes away, such as /api/v1: it is put before the "
        "Location, the links and OpenAPI's servers. Default: none.",
    )
    list_: Annotated[bool, Role.GATEWAY] = Field(
        default=True,
        description="Whether GET /jobs lists jobs. false where clients must not see each other's. "
        "Default: true.",
    )
    auth: Annotated[Auth | None, Role.GATEWAY, Role.OPERATOR] = Field(
        default=None,
        description="Bearer tokens that guard everything but the probes. Absent: whoever reaches "
        "the gateway may use it.",
    )
    cors: Annotated[Cors | None, Role.GATEWAY] = Field(
        default=None, description="Web pages of other origins that may call. Absent: none."
    )
    service: Annotated[Service, Role.OPERATOR] = Field(
        default=Service(), description="The Service in front of the pods."
    )
    ingress: Annotated[Ingress | None, Role.OPERATOR] = Field(
        default=None, description="An Ingress to make as well. Absent: none."
    )
    http_route: Annotated[HttpRoute | None, Role.OPERATOR] = Field(
        default=None, description="An HTTPRoute (Gateway API) to make as well. Absent: none."
    )
    rollout: Annotated[Rollout, Role.OPERATOR] = Field(
        default=Rollout(), description="How pods are replaced when their template changes."
    )


class NetworkPolicy(Record):
    """NetworkPolicies for the pods: nobody may connect to workers, and some to the gateway."""

    gateway_from: Items[AnyObject] = Field(
        default=(),
        max_length=16,
        description="Peers that may reach the gateway, as in a NetworkPolicy (podSelector, "
        "namespaceSelector, ipBlock). Default: everyone.",
    )


__all__ = [
    "Auth",
    "Cors",
    "GatewaySpec",
    "HttpRoute",
    "Ingress",
    "NetworkPolicy",
    "ParentRef",
    "Service",
    "Tokens",
]
