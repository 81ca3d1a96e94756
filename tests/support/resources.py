"""AsyncEndpoints for tests: the smallest, one with every field, and many invalid ones."""

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

MINIMAL: dict[str, Any] = {
    "apiVersion": "asyncendpoints.io/v1alpha1",
    "kind": "AsyncEndpoint",
    "metadata": {"name": "reports", "namespace": "demo"},
    "spec": {
        "routes": [{"path": "/reports/{customer}", "job": "build-report"}],
        "worker": {"image": "registry.example/reports:1.4", "handlers": "reports.jobs"},
    },
}


def resource(**spec: Any) -> dict[str, Any]:
    """Return MINIMAL with parts of its spec merged over; None takes a field away."""
    return merge(MINIMAL, {"spec": spec})


def merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Return a deep copy of `base` with `change` merged over it (RFC 7396: None removes)."""
    result = copy.deepcopy(dict(base))
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            below = result.get(key)
            result[key] = merge(below if isinstance(below, Mapping) else {}, value)
        else:
            result[key] = copy.deepcopy(value)
    return result


_POD: dict[str, Any] = {
    "resources": {"requests": {"cpu": "500m", "memory": "256Mi"}, "limits": {"cpu": "2"}},
    "env": [
        {"name": "MODE", "value": "fast"},
        {
            "name": "TOKEN",
            "valueFrom": {"secretKeyRef": {"name": "vendor", "key": "token", "optional": True}},
        },
    ],
    "envFrom": [{"prefix": "APP_", "configMapRef": {"name": "app", "optional": True}}],
    "imagePullSecrets": [{"name": "registry"}],
    "pullPolicy": "IfNotPresent",
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "batch", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {
                    "weight": 1,
                    "preference": {
                        "matchExpressions": [
                            {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]}
                        ]
                    },
                }
            ]
        }
    },
    "topologySpreadConstraints": [
        {
            "maxSkew": 1,
            "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "ScheduleAnyway",
        }
    ],
    "priorityClassName": "batch",
    "runtimeClassName": "gvisor",
    "podSecurityContext": {
        "fsGroup": 2_000,
        "fsGroupChangePolicy": "OnRootMismatch",
        "runAsUser": 1_000,
        "runAsGroup": 1_000,
        "runAsNonRoot": True,
        "supplementalGroups": [3_000],
        "seccompProfile": {"type": "RuntimeDefault"},
        "seLinuxOptions": {"level": "s0:c1,c2"},
    },
    "securityContext": {
        "readOnlyRootFilesystem": False,
        "runAsUser": 1_001,
        "capabilities": {"add": ["NET_BIND_SERVICE"]},
    },
    "schedulerName": "batch-scheduler",
    "hostAliases": [{"ip": "10.1.2.3", "hostnames": ["legacy", "legacy.example.com"]}],
    "dnsPolicy": "None",
    "dnsConfig": {
        "nameservers": ["10.96.0.10"],
        "searches": ["example.com"],
        "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
    },
    "initContainers": [
        {
            "name": "fetch",
            "image": "registry.example/fetch:1",
            "command": ["fetch"],
            "args": ["--to", "/cache"],
            "env": [{"name": "EMPTY"}],
            "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
        },
        {"name": "vault", "image": "registry.example/vault:1", "restartPolicy": "Always"},
    ],
    "sidecars": [
        {
            "name": "sql-proxy",
            "image": "registry.example/sql-proxy:2",
            "imagePullPolicy": "Always",
            "workingDir": "/tmp",
            "envFrom": [{"secretRef": {"name": "sql"}}],
            "ports": [{"containerPort": 5_432}],
            "resources": {"requests": {"cpu": "10m"}, "limits": {"memory": "64Mi"}},
            "securityContext": {"readOnlyRootFilesystem": True, "runAsUser": 65_532},
            "readinessProbe": {"tcpSocket": {"port": 5_432}},
            "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
        }
    ],
    "labels": {"team": "reporting"},
    "annotations": {"example.com/owner": "reporting"},
    "volumes": [
        {"name": "settings", "configMap": {"name": "settings", "optional": True}},
        {"name": "keys", "secret": {"secretName": "keys", "optional": True}},
        {"name": "cache", "emptyDir": {"sizeLimit": "2Gi"}},
        {"name": "shared", "persistentVolumeClaim": {"claimName": "shared"}},
        {"name": "bundle", "projected": {"sources": [{"configMap": {"name": "settings"}}]}},
    ],
    "volumeMounts": [
        {"name": "settings", "mountPath": "/etc/settings", "readOnly": True},
        {"name": "cache", "mountPath": "/var/cache/reports"},
        {"name": "shared", "mountPath": "/data", "subPath": "reports"},
    ],
    "rollout": {"maxSurge": 1, "maxUnavailable": "10%"},
}

FULL: dict[str, Any] = {
    "apiVersion": "asyncendpoints.io/v1alpha1",
    "kind": "AsyncEndpoint",
    "metadata": {"name": "everything", "namespace": "demo"},
    "spec": {
        "routes": [
            {
                "path": "/reports/{customer}",
                "methods": ["POST", "PUT"],
                "job": "build-report",
                "headers": ["X-Tenant"],
                "schema": {"type": "object", "required": ["month"]},
            },
            {
                "path": "/reports/{customer}/notes",
                "job": "add-note",
                "result": {
                    "contentType": "application/hal+json",
                    "schema": {"type": "object", "required": ["note"]},
                    "check": True,
                },
            },
        ],
        "gateway": {
            **_POD,
            "replicas": 3,
            "maxBodyBytes": 2_097_152,
            "maxHeaderBytes": 32_768,
            "maxWaiters": 500,
            "podDisruptionBudget": {"enabled": True},
            "terminationGracePeriodSeconds": 60,
            "basePath": "/api",
            "list": False,
            "auth": {"tokens": {"secretRef": {"name": "tokens", "key": "list"}}},
            "cors": {"allowOrigins": ["https://app.example.com"]},
            "service": {"type": "LoadBalancer", "annotations": {"example.com/internal": "true"}},
            "ingress": {
                "className": "nginx",
                "host": "reports.example.com",
                "tlsSecret": "reports-tls",
                "annotations": {"example.com/rewrite": "/"},
            },
            "httpRoute": {
                "parentRefs": [{"name": "public", "namespace": "edge", "sectionName": "https"}],
                "hostnames": ["reports.example.com"],
                "annotations": {"example.com/owner": "reporting"},
            },
        },
        "worker": {
            **_POD,
            "image": "registry.example/reports:1.4",
            "handlers": "reports.jobs",
            "concurrency": 8,
            "processes": 2,
            "command": ["ddtrace-run", "asyncendpoints", "worker"],
            "args": ["--log-level", "debug"],
            "terminationGracePeriodSeconds": 4_000,
            "maxResultBytes": 2_097_152,
            "serviceAccountName": "reports-cloud",
        },
        "autoscaling": {
            "minReplicas": 1,
            "maxReplicas": 50,
            "targetWaitSeconds": 2.5,
            "idleSeconds": 60,
        },
        "schedules": [
            {
                "name": "nightly",
                "cron": "0 3 * * *",
                "timeZone": "Europe/Berlin",
                "job": "build-report",
                "body": {"year": 2026, "parts": [1, None]},
                "key": "acme",
                "concurrencyPolicy": "Forbid",
                "startingDeadlineSeconds": 300,
                "suspend": True,
                "priority": "low",
                "tags": ["team:a"],
            },
        ],
        "queue": {
            "maxDepth": 500,
            "maxBytes": 104_857_600,
            "ttlSeconds": 3_600,
            "idempotencySeconds": 172_800,
        },
        "retry": {
            "maxRetries": 5,
            "initialSeconds": 0.5,
            "multiplier": 3,
            "maxSeconds": 60,
            "jitter": "none",
            "maxCrashes": 1,
        },
        "timeouts": {"executionSeconds": 7_200, "leaseSeconds": 20, "drainSeconds": 3_600},
        "webhooks": [
            {
                "name": "billing",
                "url": "https://billing.example.com/hooks",
                "secrets": {"secretRef": {"name": "hooks", "key": "billing"}},
                "events": ["job.completed", "job.failed"],
                "jobs": ["report"],
                "tags": ["paid"],
                "includeResult": True,
                "timeoutSeconds": 10,
            },
            {
                "name": "chat",
                "urlFrom": {"secretRef": {"name": "hooks", "key": "chat-url"}},
                "secrets": {"secretRef": {"name": "hooks", "key": "chat"}},
            },
        ],
        "webhookRequests": {
            "allow": ["https://*.example.com", "https://example.com:8443"],
            "secrets": {"secretRef": {"name": "hooks", "key": "clients"}},
        },
        "retention": {"completedSeconds": 60, "failedSeconds": 3_600, "maxFinished": 10_000},
        "redis": {"secretRef": {"name": "redis", "key": "address"}, "durability": "strict"},
        "suspend": False,
        "onDelete": "Purge",
        "reportFailures": True,
        "labels": {"cost-center": "7"},
        "annotations": {"example.com/policy": "batch"},
        "networkPolicy": {"gatewayFrom": [{"namespaceSelector": {"matchLabels": {"team": "web"}}}]},
    },
}

HTTP_MODE: dict[str, Any] = {
    "apiVersion": "asyncendpoints.io/v1alpha1",
    "kind": "AsyncEndpoint",
    "metadata": {"name": "thumbs", "namespace": "demo"},
    "spec": {
        "routes": [{"path": "/thumbs", "job": "make-thumb"}],
        "worker": {
            "image": "registry.example/thumbs:7",
            "http": {"port": 3_000, "path": "/jobs"},
            "command": ["node"],
            "args": ["server.js"],
            "agentResources": {"limits": {"cpu": "100m", "memory": "128Mi"}},
            "resources": {"limits": {"cpu": "1500m", "memory": "512Mi"}},
            "env": [{"name": "HOME", "value": "/home/node"}],
            "volumes": [{"name": "models", "emptyDir": {}}],
            "volumeMounts": [{"name": "models", "mountPath": "/models"}],
        },
    },
}


class Invalid(NamedTuple):
    """A change of MINIMAL that makes it invalid, and a part of the API server's message."""

    name: str
    change: dict[str, Any]
    says: str


def _spec(name: str, says: str, **spec: Any) -> Invalid:
    return Invalid(name, {"spec": spec}, says)


def _route(name: str, says: str, *routes: dict[str, Any]) -> Invalid:
    return _spec(name, says, routes=[{"job": "build-report", **route} for route in routes])


def _worker(name: str, says: str, **worker: Any) -> Invalid:
    return _spec(name, says, worker=worker)


def _named(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "image": "registry.example/it:1", **more}


_VOLUME = {"name": "data", "emptyDir": {}}


def _schedule(name: str, says: str, *schedules: dict[str, Any]) -> Invalid:
    made = {"name": "nightly", "cron": "0 3 * * *", "job": "build-report"}
    return _spec(name, says, schedules=[made | schedule for schedule in schedules])


INVALID = [
    _schedule("schedule-twice", "spec.schedules[1]: Duplicate value", {}, {}),
    _schedule("schedule-cron", "spec.schedules[0].cron in body should match", {"cron": "0 3 * *"}),
    _schedule("schedule-name", "spec.schedules[0].name in body", {"name": "Night ly"}),
    _schedule("schedule-policy", "Unsupported value", {"concurrencyPolicy": "forbid"}),
    _schedule("schedule-deadline", "startingDeadlineSeconds", {"startingDeadlineSeconds": 0}),
    _schedule("schedule-zone", "spec.schedules[0].timeZone", {"timeZone": "Europe/Ber lin"}),
    _schedule("schedule-tag", "spec.schedules[0].tags[0]", {"tags": ["a b"]}),
    _schedule("schedule-key", "spec.schedules[0].key", {"key": "a\n"}),
    Invalid(
        "name-too-long", {"metadata": {"name": "r" * 51}}, "metadata.name must have at most 50"
    ),
    Invalid("name-with-dot", {"metadata": {"name": "re.ports"}}, "must start with a letter and"),
    Invalid("name-with-digit", {"metadata": {"name": "1reports"}}, "must start with a letter"),
    _spec("no-routes", "spec.routes: Required value", routes=None),
    _spec("empty-routes", "spec.routes in body should have at least 1 items", routes=[]),
    _route("path-twice", "spec.routes[1]: Duplicate value", {"path": "/a"}, {"path": "/a"}),
    _route("path-without-slash", "spec.routes[0].path in body should match", {"path": "reports"}),
    _route("path-with-trailing-slash", "spec.routes[0].path in body", {"path": "/reports/"}),
    _route("path-with-double-slash", "spec.routes[0].path in body", {"path": "/a//b"}),
    _route("path-half-parameter", "spec.routes[0].path in body", {"path": "/a/x{b}"}),
    _route("path-reserved-jobs", "are reserved for the gateway", {"path": "/jobs/{id}"}),
    _route("path-reserved-docs", "are reserved for the gateway", {"path": "/docs"}),
    _route("path-reserved-openapi", "are reserved for the gateway", {"path": "/openapi.json"}),
    _route("path-begins-with-parameter", "the first segment must be a literal", {"path": "/{a}/b"}),
    _route("path-dot-segment", "the segments . and .., which clients resolve", {"path": "/a/../b"}),
    _route("parameter-twice", "parameter names must be unique", {"path": "/a/{x}/b/{x}"}),
    _route("method-unknown", "Unsupported value", {"path": "/a", "methods": ["GET"]}),
    _route("method-twice", "Duplicate value", {"path": "/a", "methods": ["POST", "POST"]}),
    _route("job-name", "spec.routes[0].job", {"path": "/a", "job": "build report"}),
    _route("header-name", "spec.routes[0].headers[0]", {"path": "/a", "headers": ["X Tenant"]}),
    _worker("no-image", "spec.worker.image: Required value", image=None),
    _worker("no-mode", "set exactly one of handlers", handlers=None),
    _worker("two-modes", "set exactly one of handlers", http={"port": 8000}),
    _worker("http-port", "spec.worker.http.port", handlers=None, http={"port": 70_000}),
    _worker("concurrency", "spec.worker.concurrency", concurrency=0),
    _worker("module", "spec.worker.handlers", handlers="reports/jobs.py"),
    _worker("env-twice", "Duplicate value", env=[{"name": "A"}, {"name": "A"}]),
    _worker(
        "env-two-ways",
        "set value or valueFrom, not both",
        env=[{"name": "A", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "a"}}}],
    ),
    _worker("env-from", "set exactly one of configMapRef and secretRef", envFrom=[{"prefix": "A"}]),
    _worker("volume-without-source", "set exactly one of configMap", volumes=[{"name": "data"}]),
    _worker("volume-twice", "Duplicate value", volumes=[_VOLUME, _VOLUME]),
    _worker(
        "volume-of-the-operator",
        "are reserved for the operator",
        volumes=[{"name": "asyncendpoints-tmp", "emptyDir": {}}],
    ),
    _worker(
        "mount-unknown",
        "each name must be the name of a volume",
        volumeMounts=[{"name": "data", "mountPath": "/data"}],
    ),
    _worker(
        "mount-over-ours",
        "must not be / or below /etc/asyncendpoints",
        volumes=[_VOLUME],
        volumeMounts=[{"name": "data", "mountPath": "/etc/asyncendpoints-redis"}],
    ),
    _worker(
        "label-of-the-operator", "is reserved for the operator", labels={"asyncendpoints.io/a": ""}
    ),
    _worker("label-value", "spec.worker.labels.team", labels={"team": "not a label"}),
    _worker(
        "rollout-stuck",
        "maxSurge and maxUnavailable must not both be 0",
        rollout={"maxSurge": 0, "maxUnavailable": "0%"},
    ),
    _worker("surge", "maxSurge", rollout={"maxSurge": "a lot"}),
    _worker(
        "container-of-the-operator", "are reserved for the operator", sidecars=[_named("worker")]
    ),
    _worker(
        "init-container-of-the-operator",
        "are reserved for the operator",
        initContainers=[_named("asyncendpoints-init")],
    ),
    _worker(
        "container-twice",
        "each name must differ from those of initContainers",
        initContainers=[_named("proxy")],
        sidecars=[_named("proxy")],
    ),
    _worker("sidecar-twice", "Duplicate value", sidecars=[_named("proxy"), _named("proxy")]),
    _worker(
        "sidecar-mount-unknown",
        "sidecars: each name in volumeMounts must be the name of a volume",
        sidecars=[_named("proxy", volumeMounts=[{"name": "data", "mountPath": "/data"}])],
    ),
    _worker(
        "init-mount-over-ours",
        "must not be / or below /etc/asyncendpoints",
        volumes=[_VOLUME],
        initContainers=[
            _named("first", volumeMounts=[{"name": "data", "mountPath": "/etc/asyncendpoints"}])
        ],
    ),
    _worker(
        "sidecar-mounts-our-volume",
        "must be the name of a volume",
        sidecars=[
            _named("proxy", volumeMounts=[{"name": "asyncendpoints-redis", "mountPath": "/redis"}])
        ],
    ),
    _worker(
        "admin-port",
        "9090 is reserved for the probes",
        sidecars=[_named("proxy", ports=[{"containerPort": 9_090}])],
    ),
    _worker("agent-port", "9090 is the port of the agent", handlers=None, http={"port": 9_090}),
    _worker("agent-without-http", "only in HTTP mode", agentResources={"limits": {"cpu": "1"}}),
    _worker("dns-without-servers", "nameservers are required", dnsPolicy="None"),
    _worker("host-alias", "ip", hostAliases=[{"ip": "legacy", "hostnames": ["legacy"]}]),
    _worker(
        "grace-below-the-drain",
        "worker.terminationGracePeriodSeconds must be at least",
        terminationGracePeriodSeconds=629,
    ),
    _spec(
        "gateway-port",
        "port 8080 is the gateway's own",
        gateway={"sidecars": [_named("proxy", ports=[{"containerPort": 8_080}])]},
    ),
    _spec("gateway-grace", "Period", gateway={"terminationGracePeriodSeconds": 39}),
    _spec("label-of-all", "is reserved for the operator", labels={"asyncendpoints.io/a": ""}),
    _spec("pin-negative", "spec.replicas", replicas=-1),
    _spec("pin-too-many", "spec.replicas", replicas=1_001),
    _spec(
        "min-above-max",
        "maxReplicas must be at least minReplicas",
        autoscaling={"minReplicas": 5, "maxReplicas": 4},
    ),
    _spec(
        "min-above-default-max",
        "maxReplicas must be at least minReplicas",
        autoscaling={"minReplicas": 21},
    ),
    _spec("gateway-replicas", "spec.gateway.replicas", gateway={"replicas": -1}),
    _spec("body-limit", "spec.gateway.maxBodyBytes", gateway={"maxBodyBytes": 99_999_999}),
    _spec("base-path", "spec.gateway.basePath", gateway={"basePath": "api/"}),
    _spec(
        "tokens-missing", "set exactly one of secretRef and file", gateway={"auth": {"tokens": {}}}
    ),
    _spec("ingress-host", "spec.gateway.ingress.host", gateway={"ingress": {"host": "A_b"}}),
    _spec("queue-smaller-than-body", "at least gateway.maxBodyBytes", queue={"maxBytes": 10_000}),
    _spec("retry-multiplier", "spec.retry.multiplier", retry={"multiplier": 0.5}),
    _spec("retry-jitter", "Unsupported value", retry={"jitter": "some"}),
    _spec("drain", "spec.timeouts.drainSeconds", timeouts={"drainSeconds": -1}),
    _spec("lease", "spec.timeouts.leaseSeconds", timeouts={"leaseSeconds": 0}),
    _spec("retention-as-text", "must be of type number", retention={"failedSeconds": "1h"}),
    _route(
        "result-schema-of-text",
        "result.schema: is for JSON",
        {"path": "/a", "result": {"contentType": "text/plain", "schema": {}}},
    ),
    _spec(
        "redis-two-ways",
        "set url or secretRef, not both",
        redis={"url": "redis://r", "secretRef": {"name": "r"}},
    ),
    _spec("redis-scheme", "must be a Redis URL", redis={"url": "http://redis"}),
    _spec(
        "redis-password", "must not contain a user or password", redis={"url": "redis://:x@redis"}
    ),
    _spec("redis-query", "must not contain a user", redis={"url": "redis://r?PassWord=x"}),
    _spec("redis-durability", "Unsupported value", redis={"durability": "none"}),
    _spec("on-delete", "Unsupported value", onDelete="Forget"),
    _spec("unknown-field", 'unknown field "spec.reties"', reties={"maxRetries": 1}),
]
