"""The CEL rules of the CRD: what a schema alone cannot say, by the record that each rule checks.

Each message names the field and what to write. The model (asyncendpoints_core.resource) refuses
the same and more: what CEL cannot afford (two routes of one shape, a JSON Schema that does not
compile) becomes condition RoutesAccepted=False.
"""

from typing import Final

from asyncendpoints_core.resource.cluster import MAX_NAME_LENGTH
from asyncendpoints_core.resource.path_templates import MAX_SEGMENTS

Rule = dict[str, str]


def _rule(expression: str, message: str, field: str = "") -> Rule:
    """Return a rule; `field` (such as `.path`) is where the API server says the fault is."""
    rule = {"rule": expression, "message": message}
    return {**rule, "fieldPath": field} if field else rule


def _one_of(*names: str, needed: bool = True) -> str:
    """Return an expression that exactly one (at most one) of the fields is set."""
    count = " + ".join(f"(has(self.{name}) ? 1 : 0)" for name in names)
    return f"{count} {'==' if needed else '<='} 1"


ROOT: Final[list[Rule]] = [
    _rule(
        f"self.metadata.name.size() <= {MAX_NAME_LENGTH}",
        f"metadata.name has more than {MAX_NAME_LENGTH} characters; the names of Services and "
        "pods are made from it",
    ),
    _rule(
        "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "metadata.name must begin with a letter and have no dots, because the names of Services "
        "are made from it",
    ),
]

_PODS: Final[list[Rule]] = [
    _rule(
        "!has(self.volumeMounts) || self.volumeMounts.all(m, "
        "has(self.volumes) && self.volumes.exists(v, v.name == m.name))",
        "volumeMounts: each name must be that of a volume in volumes",
        ".volumeMounts",
    ),
    _rule(
        "(!has(self.labels) || self.labels.all(k, !k.startsWith('asyncendpoints.io/'))) && "
        "(!has(self.annotations) || "
        "self.annotations.all(k, !k.startsWith('asyncendpoints.io/')))",
        "labels and annotations: asyncendpoints.io/… belongs to the operator",
    ),
]

_ROUTE: Final[list[Rule]] = [
    _rule(
        "!self.path.matches('^/(jobs(/.*)?|docs|openapi[.]json)$')",
        "path: /jobs and everything below it, /docs and /openapi.json are the gateway's own; "
        "choose another first segment",
        ".path",
    ),
    _rule(
        "!self.path.startsWith('/{')",
        "path: must begin with a segment that is no parameter, such as /reports, or it could "
        "match the gateway's own /jobs",
        ".path",
    ),
    _rule(
        "!self.path.matches('/[.][.]?(/|$)')",
        "path: . and .. are segments that clients resolve away; name the path",
        ".path",
    ),
    _rule(
        # A split with a limit, unlike findAll, keeps the estimated cost within the budget.
        f"self.path.split('/', {MAX_SEGMENTS + 1}).all(p, "
        "!p.startsWith('{') || self.path.indexOf(p) == self.path.lastIndexOf(p))",
        "path: a parameter appears twice; give each its own name",
        ".path",
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
        "url: must hold no user or password: put the URL into a Secret, see secretRef",
        ".url",
    ),
]

# The API server checks the default `{}` of an object before its fields have theirs, hence `has`.
RULES: Final[dict[str, list[Rule]]] = {
    "EndpointSpec": [
        _rule(
            "self.queue.maxBytes >= self.gateway.maxBodyBytes",
            "queue.maxBytes must be at least gateway.maxBodyBytes, or a body of that size could "
            "never be accepted",
            ".queue.maxBytes",
        ),
    ],
    "Route": _ROUTE,
    "GatewaySpec": _PODS,
    "WorkerSpec": [
        _rule(
            _one_of("handlers", "http"),
            "worker: set exactly one of handlers (a Python module) and http (a container of any "
            "language)",
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
    "Tokens": [
        _rule(_one_of("secretRef", "file"), "tokens: set exactly one of secretRef and file"),
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
            "volumes: names beginning with asyncendpoints- are the operator's",
            ".name",
        ),
    ],
    "VolumeMount": [
        _rule(
            "!self.mountPath.matches('^/+(etc/+asyncendpoints.*)?$')",
            "volumeMounts: /etc/asyncendpoints… is the operator's, and / cannot be mounted over",
            ".mountPath",
        ),
    ],
    "Rollout": [
        _rule(
            "!has(self.maxSurge) || !(self.maxSurge in [dyn(0), dyn('0%')] && "
            "self.maxUnavailable in [dyn(0), dyn('0%')])",
            "rollout: maxSurge and maxUnavailable cannot both be 0: no pod could be replaced",
        ),
    ],
}
