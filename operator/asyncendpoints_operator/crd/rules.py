"""The CEL validation rules of the CRD, by the record that each rule validates.

Each message names the field and the fix. The model (asyncendpoints_core.resource) checks the same
and more: what is beyond CEL's cost budget (conflicting routes, a JSON Schema that does not compile)
is reported by condition RoutesAccepted=False.
"""

from typing import Final

from asyncendpoints_core.resource.cluster import MAX_NAME_LENGTH
from asyncendpoints_core.resource.containers import ADMIN_PORT, OWN_CONTAINERS
from asyncendpoints_core.resource.gateway import HTTP_PORT
from asyncendpoints_core.resource.path_templates import MAX_SEGMENTS
from asyncendpoints_core.resource.routes import STORED_HEADERS
from asyncendpoints_core.resource.worker import GRACE_MARGIN_SECONDS

Rule = dict[str, str]


def _rule(expression: str, message: str, field: str = "") -> Rule:
    """Return a rule; `field` (such as `.path`) is the field path in the API server's error."""
    rule = {"rule": expression, "message": message}
    return {**rule, "fieldPath": field} if field else rule


def _one_of(*names: str, needed: bool = True) -> str:
    """Return the expression for exactly (if not `needed`, at most) one field being set."""
    count = " + ".join(f"(has(self.{name}) ? 1 : 0)" for name in names)
    return f"{count} {'==' if needed else '<='} 1"


ROOT: Final[list[Rule]] = [
    _rule(
        f"self.metadata.name.size() <= {MAX_NAME_LENGTH}",
        f"metadata.name must have at most {MAX_NAME_LENGTH} characters: the names of Services and "
        "pods are derived from it",
    ),
    _rule(
        "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "metadata.name must start with a letter and must not contain dots: the names of Services "
        "are derived from it",
    ),
]


def _known_mounts(containers: str) -> Rule:
    """Return the rule that the containers of a list mount volumes of the pod only."""
    return _rule(
        f"!has(self.{containers}) || self.{containers}.all(c, !has(c.volumeMounts) || "
        "c.volumeMounts.all(m, has(self.volumes) && self.volumes.exists(v, v.name == m.name)))",
        f"{containers}: each name in volumeMounts must be the name of a volume in volumes",
        f".{containers}",
    )


_LABELS: Final = _rule(
    "(!has(self.labels) || self.labels.all(k, !k.startsWith('asyncendpoints.io/'))) && "
    "(!has(self.annotations) || "
    "self.annotations.all(k, !k.startsWith('asyncendpoints.io/')))",
    "labels and annotations: the prefix asyncendpoints.io/ is reserved for the operator",
)

_PODS: Final[list[Rule]] = [
    _rule(
        "!has(self.volumeMounts) || self.volumeMounts.all(m, "
        "has(self.volumes) && self.volumes.exists(v, v.name == m.name))",
        "volumeMounts: each name must be the name of a volume in volumes",
        ".volumeMounts",
    ),
    _LABELS,
    _known_mounts("initContainers"),
    _known_mounts("sidecars"),
    _rule(
        "!has(self.initContainers) || !has(self.sidecars) || "
        "self.sidecars.all(s, !self.initContainers.exists(c, c.name == s.name))",
        "sidecars: each name must differ from those of initContainers",
        ".sidecars",
    ),
    _rule(
        "!has(self.dnsPolicy) || self.dnsPolicy != 'None' || "
        "(has(self.dnsConfig) && has(self.dnsConfig.nameservers) && "
        "self.dnsConfig.nameservers.size() > 0)",
        "dnsConfig: nameservers are required with dnsPolicy None",
        ".dnsConfig",
    ),
]

_ROUTE: Final[list[Rule]] = [
    _rule(
        "!self.path.matches('^/(jobs(/.*)?|docs|openapi[.]json)$')",
        "path: /jobs and everything below it, /docs and /openapi.json are reserved for the "
        "gateway; choose another first segment",
        ".path",
    ),
    _rule(
        "!self.path.startsWith('/{')",
        "path: the first segment must be a literal, such as /reports, because a parameter would "
        "match the gateway's own /jobs",
        ".path",
    ),
    _rule(
        "!self.path.matches('/[.][.]?(/|$)')",
        "path: must not contain the segments . and .., which clients resolve",
        ".path",
    ),
    _rule(
        # With findAll instead of a limited split, the estimated cost would exceed the budget.
        f"self.path.split('/', {MAX_SEGMENTS + 1}).all(p, "
        "!p.startsWith('{') || self.path.indexOf(p) == self.path.lastIndexOf(p))",
        "path: parameter names must be unique",
        ".path",
    ),
    _rule(
        "!has(self.unique) || !has(self.unique.of) || self.unique.of.all(v, "
        "!v.startsWith('param:') || self.path.contains('/{' + v.substring(6) + '}'))",
        "unique.of: each param:NAME must be a parameter of the path",
        ".unique",
    ),
    _rule(
        "!has(self.unique) || !has(self.unique.of) || self.unique.of.all(v, "
        "!v.startsWith('header:') || v.substring(7).lowerAscii() in "
        f"{sorted(STORED_HEADERS)} || (has(self.headers) && "
        "self.headers.exists(h, h.lowerAscii() == v.substring(7).lowerAscii())))",
        "unique.of: the header of each header:NAME must be stored with the job; add it to headers",
        ".unique",
    ),
    _rule(
        "!has(self.key) || !self.key.startsWith('param:') || "
        "self.path.contains('/{' + self.key.substring(6) + '}')",
        "key: param:NAME must be a parameter of the path",
        ".key",
    ),
    _rule(
        "!has(self.key) || !self.key.startsWith('header:') || "
        f"self.key.substring(7).lowerAscii() in {sorted(STORED_HEADERS)} || (has(self.headers) && "
        "self.headers.exists(h, h.lowerAscii() == self.key.substring(7).lowerAscii()))",
        "key: the header of header:NAME must be stored with the job; add it to headers",
        ".key",
    ),
]

_CONTAINER: Final[list[Rule]] = [
    _rule(
        f"!(self.name in {list(OWN_CONTAINERS)}) && !self.name.startsWith('asyncendpoints-')",
        f"containers: the names {', '.join(OWN_CONTAINERS)} and those starting with "
        "asyncendpoints- are reserved for the operator",
        ".name",
    ),
]


def _free_port(containers: str) -> Rule:
    return _rule(
        f"!has(self.{containers}) || self.{containers}.all(c, !has(c.ports) || "
        f"c.ports.all(p, p.containerPort != {HTTP_PORT}))",
        f"{containers}: port {HTTP_PORT} is the gateway's own",
        f".{containers}",
    )


_LIMIT: Final[list[Rule]] = [
    _rule(
        "!has(self.burst) || has(self.ratePerSecond)",
        "burst: needs ratePerSecond",
        ".burst",
    ),
]

_REDIS: Final[list[Rule]] = [
    _rule(
        _one_of("url", "secretRef", needed=False),
        "redis: set url or secretRef, not both",
    ),
    _rule(
        "!has(self.url) || self.url.matches('^(rediss?([+](cluster|sentinel))?|unix)://.+$')",
        "url: must be a Redis URL: redis://host:6379/0, rediss://… (TLS), redis+cluster://…, "
        "redis+sentinel://… or unix:///path",
        ".url",
    ),
    _rule(
        "!has(self.url) || !self.url.matches('(?i)(://[^/?#]*@|[?&](password|username)=)')",
        "url: must not contain a user or password; use secretRef for a URL with credentials",
        ".url",
    ),
]

# The API server validates the default `{}` of an object before its fields are defaulted: `has`.
RULES: Final[dict[str, list[Rule]]] = {
    "EndpointSpec": [
        _rule(
            "self.queue.maxBytes >= self.gateway.maxBodyBytes",
            "queue.maxBytes must be at least gateway.maxBodyBytes, or bodies of that size would "
            "never be accepted",
            ".queue.maxBytes",
        ),
        _rule(
            "!has(self.worker.terminationGracePeriodSeconds) || "
            "double(self.worker.terminationGracePeriodSeconds) >= "
            f"{float(GRACE_MARGIN_SECONDS)} + double(has(self.timeouts.drainSeconds) ? "
            "self.timeouts.drainSeconds : self.timeouts.executionSeconds)",
            "worker.terminationGracePeriodSeconds must be at least timeouts.drainSeconds (by "
            f"default timeouts.executionSeconds) + {GRACE_MARGIN_SECONDS}",
            ".worker.terminationGracePeriodSeconds",
        ),
        _LABELS,
    ],
    "Route": _ROUTE,
    "RouteResult": [
        _rule(
            "!has(self.schema) || !has(self.contentType) || self.contentType.matches("
            "'(?i)^[^;]*[/+]json *(;.*)?$')",
            "result.schema: is for JSON; set contentType to application/json or a type that ends "
            "in +json, or remove one of them",
            ".schema",
        ),
    ],
    "GatewaySpec": [*_PODS, _free_port("initContainers"), _free_port("sidecars")],
    "WorkerSpec": [
        _rule(
            _one_of("handlers", "http"),
            "worker: set exactly one of handlers (a Python module) and http (a container of any "
            "language)",
        ),
        _rule(
            "!has(self.agentResources) || has(self.http)",
            "agentResources: only in HTTP mode is there an agent beside your container",
            ".agentResources",
        ),
        *_PODS,
    ],
    "AutoscalingSpec": [
        _rule(
            "!has(self.minReplicas) || self.minReplicas <= self.maxReplicas",
            "maxReplicas must be at least minReplicas",
            ".maxReplicas",
        ),
    ],
    "RedisSpec": _REDIS,
    "Limit": _LIMIT,
    "JobLimit": _LIMIT,
    "PerKeyLimit": _LIMIT,
    "KeyLimit": _LIMIT,
    "HttpWorker": [
        _rule(
            f"self.port != {ADMIN_PORT}",
            f"port: {ADMIN_PORT} is the port of the agent beside the container",
            ".port",
        ),
    ],
    "Container": _CONTAINER,
    "InitContainer": _CONTAINER,
    "ContainerPort": [
        _rule(
            f"self.containerPort != {ADMIN_PORT}",
            f"ports: {ADMIN_PORT} is reserved for the probes of gateway and worker",
            ".containerPort",
        ),
    ],
    "Tokens": [
        _rule(_one_of("secretRef", "file"), "tokens: set exactly one of secretRef and file"),
    ],
    "Webhook": [
        _rule(_one_of("url", "urlFrom"), "webhooks: set exactly one of url and urlFrom"),
        _rule(
            "!has(self.url) || self.url.matches('^(?i)https?://[^/?#@]+([/?][^#]*)?$')",
            "url: must be a URL such as https://example.com/hooks, without user, password and #",
            ".url",
        ),
    ],
    "Secrets": [
        _rule(_one_of("secretRef", "file"), "secrets: set exactly one of secretRef and file"),
    ],
    "EnvVar": [
        _rule(
            _one_of("value", "valueFrom", needed=False),
            "env: set value or valueFrom, not both",
        ),
    ],
    "EnvFrom": [
        _rule(
            _one_of("configMapRef", "secretRef"),
            "envFrom: set exactly one of configMapRef and secretRef",
        ),
    ],
    "Volume": [
        _rule(
            _one_of("configMap", "secret", "emptyDir", "persistentVolumeClaim", "projected"),
            "volumes: set exactly one of configMap, secret, emptyDir, persistentVolumeClaim and "
            "projected",
        ),
        _rule(
            "!self.name.startsWith('asyncendpoints-')",
            "volumes: names starting with asyncendpoints- are reserved for the operator",
            ".name",
        ),
    ],
    "VolumeMount": [
        _rule(
            "!self.mountPath.matches('^/+(etc/+asyncendpoints.*)?$')",
            "volumeMounts: must not be / or below /etc/asyncendpoints, which is reserved for the "
            "operator",
            ".mountPath",
        ),
    ],
    "Rollout": [
        _rule(
            "!has(self.maxSurge) || !(self.maxSurge in [dyn(0), dyn('0%')] && "
            "self.maxUnavailable in [dyn(0), dyn('0%')])",
            "rollout: maxSurge and maxUnavailable must not both be 0: no pod could be replaced",
        ),
    ],
}
