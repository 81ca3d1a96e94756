"""The model of the resource: defaults, limits, and the rules between fields."""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_camel

from asyncendpoints_core.jobs.policy import Policy
from asyncendpoints_core.resource import (
    MAX_NAME_LENGTH,
    AsyncEndpoint,
    EndpointSpec,
    GatewaySpec,
    Metadata,
    RetrySpec,
    Route,
    WorkerSpec,
    cluster_faults,
)
from asyncendpoints_core.resource.base import PATTERNS, Record, alias_of
from asyncendpoints_core.resource.fields import homes, record_in, resolve, walk
from support.resources import merge

MINIMAL: dict[str, Any] = {
    "apiVersion": "asyncendpoints.io/v1alpha1",
    "kind": "AsyncEndpoint",
    "metadata": {"name": "reports"},
    "spec": {
        "routes": [{"path": "/reports/{customer}", "job": "build-report"}],
        "worker": {"handlers": "reports.jobs"},
    },
}

# The design's example, word for word.
DESIGN: dict[str, Any] = {
    **MINIMAL,
    "spec": {
        "routes": [
            {
                "path": "/reports/{customer}",
                "methods": ["POST"],
                "job": "build-report",
                "headers": ["X-Tenant"],
                "schema": {"type": "object"},
            }
        ],
        "gateway": {"replicas": 2, "maxBodyBytes": 1048576},
        "worker": {
            "image": "registry.example/reports:1.4",
            "handlers": "reports.jobs",
            "concurrency": 8,
            "processes": 1,
            "resources": {},
            "env": [],
        },
        "autoscaling": {
            "minReplicas": 0,
            "maxReplicas": 20,
            "targetWaitSeconds": 10,
            "idleSeconds": 300,
        },
        "queue": {"maxDepth": 10000, "ttlSeconds": 86400},
        "retry": {
            "maxRetries": 3,
            "initialSeconds": 2,
            "multiplier": 2,
            "maxSeconds": 300,
            "jitter": "full",
            "maxCrashes": 3,
        },
        "timeouts": {"executionSeconds": 600, "leaseSeconds": 15},
        "retention": {"completedSeconds": 3600, "failedSeconds": 604800},
        "redis": {"secretRef": {"name": "redis", "key": "url"}},
        "suspend": False,
    },
}


def document(path: str, value: Any) -> dict[str, Any]:
    """Return the minimal document with one field of its spec set: "retry.maxRetries", 5."""
    result = copy.deepcopy(MINIMAL)
    place: Any = result["spec"]
    *parents, last = path.split(".")
    for step in parents:
        place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
    place[last] = value
    return result


def faults(doc: dict[str, Any]) -> dict[str, str]:
    """Return what the model says, by location without `spec.`."""
    try:
        AsyncEndpoint.parse(doc)
    except ValidationError as error:
        return {
            ".".join(str(s) for s in resolve(line["loc"])[0][1:]): line["msg"]
            for line in error.errors()
        }
    return {}


def test_the_minimal_resource_has_every_default() -> None:
    spec = AsyncEndpoint.parse(MINIMAL).spec
    assert spec.routes[0].methods == ("POST",)
    assert spec.routes[0].headers == ()
    assert spec.routes[0].schema_ is None
    assert (spec.gateway.replicas, spec.gateway.max_body_bytes) == (None, 1_048_576)
    assert (spec.gateway.list_, spec.gateway.auth, spec.gateway.cors) == (True, None, None)
    assert (spec.worker.processes, spec.worker.concurrency) == (1, None)
    assert spec.worker.max_result_bytes == 1_048_576
    assert spec.replicas is None
    assert spec.redis.url is None
    assert spec.redis.secret_ref is None
    assert spec.drain_seconds == 600
    assert (spec.worker.rollout.max_surge, spec.worker.rollout.max_unavailable) == ("25%", 0)
    assert (spec.on_delete, spec.report_failures, spec.suspend) == ("Keep", False, False)


def test_the_designs_example_says_nothing_but_defaults() -> None:
    own = merge(MINIMAL, {"spec": {"gateway": {"replicas": 2}}})  # the number of a new gateway
    designed, minimal = AsyncEndpoint.parse(DESIGN).spec, AsyncEndpoint.parse(own).spec
    for name in ("gateway", "autoscaling", "queue", "retry", "timeouts", "retention", "suspend"):
        assert getattr(designed, name) == getattr(minimal, name)


def test_the_policy_of_the_defaults_is_the_stores_own() -> None:
    assert AsyncEndpoint.parse(MINIMAL).spec.policy() == Policy()


def test_the_policy_is_in_the_stores_units() -> None:
    doc = document("retry.initialSeconds", 0.25)
    doc["spec"]["timeouts"] = {"executionSeconds": 1.5, "leaseSeconds": 2, "drainSeconds": 0.5}
    spec = AsyncEndpoint.parse(doc).spec
    assert spec.policy().retry.initial_ms == 250
    assert (spec.policy().execution_ms, spec.policy().lease_ms) == (1_500, 2_000)
    assert spec.drain_seconds == 0.5


def test_key_name_and_namespace() -> None:
    endpoint = AsyncEndpoint.parse(MINIMAL)
    assert (endpoint.key, endpoint.name) == ("default/reports", "reports")
    there = AsyncEndpoint.parse({**MINIMAL, "metadata": {"name": "a", "namespace": "b"}})
    assert there.key == "b/a"


def test_a_live_object_is_read() -> None:
    live = {
        **MINIMAL,
        "metadata": {
            "name": "reports",
            "namespace": "shop",
            "uid": "u-1",
            "generation": 3,
            "resourceVersion": "5",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [{}],
            "labels": None,
            "annotations": {"a": "b"},
        },
        "status": {"anything": ["goes"]},
    }
    endpoint = AsyncEndpoint.parse(live)
    assert (endpoint.metadata.uid, endpoint.metadata.generation) == ("u-1", 3)
    assert endpoint.metadata.labels == {}
    assert "status" in live
    assert "status" not in endpoint.document()


@pytest.mark.parametrize("doc", [MINIMAL, DESIGN])
def test_the_resolved_document_is_read_again(doc: dict[str, Any]) -> None:
    endpoint = AsyncEndpoint.parse(doc)
    assert AsyncEndpoint.parse(json.loads(json.dumps(endpoint.document()))) == endpoint


def test_records_are_frozen() -> None:
    endpoint = AsyncEndpoint.parse(MINIMAL)
    with pytest.raises(ValidationError, match="frozen"):
        endpoint.spec.suspend = True  # type: ignore[misc]


def test_python_code_builds_with_attribute_names() -> None:
    endpoint = AsyncEndpoint(
        api_version="asyncendpoints.io/v1alpha1",
        kind="AsyncEndpoint",
        metadata=Metadata(name="reports"),
        spec=EndpointSpec(
            routes=(Route(path="/reports/{customer}", job="build-report"),),
            gateway=GatewaySpec(max_waiters=1_000),
            worker=WorkerSpec(handlers="reports.jobs"),
            retry=RetrySpec(max_retries=3),
        ),
    )
    assert endpoint == AsyncEndpoint.parse(MINIMAL)


VALID = [
    ("replicas", 0),
    ("replicas", 1000),
    ("gateway.replicas", 0),
    ("gateway.basePath", "/api/v1"),
    ("gateway.list", False),
    ("gateway.auth", {"tokens": {"file": "tokens.txt"}}),
    ("gateway.auth", {"tokens": {"secretRef": {"name": "a", "key": "b"}}}),
    ("gateway.cors", {"allowOrigins": ["https://app.example.com", "http://localhost:3000", "*"]}),
    ("gateway.service", {"type": "LoadBalancer", "annotations": {"example.com/a": "b c"}}),
    ("gateway.ingress", {"host": "reports.example.com", "tlsSecret": "cert", "className": "x"}),
    ("gateway.httpRoute", {"parentRefs": [{"name": "gw", "namespace": "infra"}]}),
    ("gateway.tolerations", [{"key": "a", "operator": "Exists", "tolerationSeconds": 30}]),
    ("gateway.affinity", {"podAntiAffinity": {"x": [1, {"y": None}]}}),
    ("worker.resources", {"limits": {"cpu": 1, "memory": "1Gi"}}),
    ("worker.env", [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"fieldRef": {}}}]),
    ("worker.envFrom", [{"secretRef": {"name": "s", "optional": True}, "prefix": "P_"}]),
    ("worker.rollout", {"maxSurge": 3, "maxUnavailable": "10%"}),
    ("worker.podSecurityContext", {"fsGroup": 1000}),
    ("worker.concurrency", 1),
    ("worker.topologySpreadConstraints", [{"maxSkew": 1}]),
    ("worker.nodeSelector", {"kubernetes.io/arch": "amd64"}),
    ("worker.pullPolicy", "Never"),
    ("autoscaling", {"minReplicas": 20}),
    ("autoscaling", {"minReplicas": 5, "maxReplicas": 5}),
    ("timeouts.drainSeconds", 0),
    ("timeouts.executionSeconds", 0.1),
    ("retry.maxRetries", 0),
    ("queue.ttlSeconds", 0.5),
    ("redis", {"url": "redis://redis:6379/0"}),
    ("redis", {"url": "redis+sentinel://a:1,b:2/main/0", "durability": "strict"}),
    ("redis", {"url": "unix:///run/redis.sock"}),
    ("redis", {"secretRef": {"name": "redis"}}),
    ("redis", {"leaveQueue": "0f3a/redis-1"}),
    ("className", "blue"),
    ("onDelete", "Purge"),
    ("networkPolicy", {}),
    ("networkPolicy", {"gatewayFrom": [{"namespaceSelector": {}}]}),
    ("routes.0.methods", ["PUT", "DELETE"]),
    ("routes.0.headers", ["Authorization"]),
]


@pytest.mark.parametrize(("path", "value"), VALID)
def test_values_that_are_taken(path: str, value: Any) -> None:
    assert faults(document(path, value)) == {}


@pytest.mark.parametrize(
    "volume",
    [
        {"configMap": {"name": "a", "items": [{"key": "k", "path": "p", "mode": 0o440}]}},
        {"secret": {"secretName": "a", "optional": True}},
        {"emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
        {"persistentVolumeClaim": {"claimName": "a", "readOnly": True}},
        {"projected": {"sources": [{"secret": {"name": "a"}}]}},
    ],
)
def test_every_kind_of_volume(volume: dict[str, Any]) -> None:
    doc = document("worker.volumes", [{"name": "v", **volume}])
    doc["spec"]["worker"]["volumeMounts"] = [{"name": "v", "mountPath": "/data"}]
    assert faults(doc) == {}


INVALID: list[tuple[str, Any, str, str]] = [
    ("worker", {}, "worker.http", "set one of handlers, http"),
    ("worker.http", {"port": 80}, "worker.http", "set only one of"),
    ("worker.http", {"port": 0}, "worker.http.port", "greater than or equal to 1"),
    ("worker.handlers", "reports/jobs.py", "worker.handlers", "match pattern"),
    ("worker.handlers", ".jobs", "worker.handlers", "match pattern"),
    ("worker.handlers", None, "worker.http", "set one of handlers, http"),
    ("worker.image", "a b", "worker.image", "match pattern"),
    ("worker.image", "", "worker.image", "match pattern"),
    ("worker.concurrency", 0, "worker.concurrency", "greater than or equal to 1"),
    ("worker.processes", 65, "worker.processes", "less than or equal to 64"),
    ("worker.processes", True, "worker.processes", "valid integer"),
    ("worker.maxResultBytes", 1.5, "worker.maxResultBytes", "integer"),
    ("worker.resources", {"a": float("nan")}, "worker.resources", "must be valid JSON"),
    ("worker.affinity", {"a": "x" * 40_000}, "worker.affinity", "at most 32768"),
    ("worker.affinity", [], "worker.affinity", "valid dictionary"),
    ("worker.env", [{"name": "1A"}], "worker.env.0.name", "match pattern"),
    ("worker.env", [{"name": "A"}, {"name": "A"}], "worker.env", 'duplicate variable "A"'),
    ("worker.env", [{"name": "A", "value": 1}], "worker.env.0.value", "valid string"),
    (
        "worker.env",
        [{"name": "A", "value": "1", "valueFrom": {}}],
        "worker.env.0.valueFrom",
        "set only one of",
    ),
    ("worker.envFrom", [{}], "worker.envFrom.0.secretRef", "set one of configMapRef, secretRef"),
    (
        "worker.volumes",
        [{"name": "v"}],
        "worker.volumes.0.projected",
        "set one of configMap, secret, ",
    ),
    (
        "worker.volumes",
        [{"name": "v", "emptyDir": {}, "secret": {"secretName": "s"}}],
        "worker.volumes.0.projected",
        "set only one of",
    ),
    ("worker.volumes", [{"name": "asyncendpoints-x", "emptyDir": {}}], "worker.volumes.0.name", ""),
    (
        "worker.volumes",
        [{"name": "v", "hostPath": {"path": "/"}, "emptyDir": {}}],
        "worker.volumes.0.hostPath",
        "not permitted",
    ),
    (
        "worker.volumeMounts",
        [{"name": "v", "mountPath": "/x"}],
        "worker.volumeMounts",
        "is not the name of",
    ),
    (
        "worker.volumeMounts",
        [{"name": "v", "mountPath": "/etc/asyncendpoints/x"}],
        "worker.volumeMounts.0.mountPath",
        "reserved for the operator",
    ),
    (
        "worker.volumeMounts",
        [{"name": "v", "mountPath": "/"}],
        "worker.volumeMounts.0.mountPath",
        "",
    ),
    (
        "worker.volumeMounts",
        [{"name": "v", "mountPath": "x"}],
        "worker.volumeMounts.0.mountPath",
        "",
    ),
    ("worker.labels", {"asyncendpoints.io/x": "y"}, "worker.labels", "reserved for the operator"),
    ("worker.labels", {"a b": "y"}, "worker.labels", "not a valid label or annotation"),
    ("worker.labels", {"a": "y z"}, "worker.labels", "not a valid label value"),
    ("worker.annotations", {"/x": "y"}, "worker.annotations", "not a valid label or annotation"),
    ("worker.annotations", {"a": 5}, "worker.annotations.a", "valid string"),
    ("worker.rollout", {"maxSurge": 0}, "worker.rollout", "must not both be 0"),
    ("worker.rollout", {"maxSurge": "0%"}, "worker.rollout", "must not both be 0"),
    ("worker.rollout", {"maxSurge": "101%"}, "worker.rollout.maxSurge", "percentage such as"),
    ("worker.rollout", {"maxSurge": -1}, "worker.rollout.maxSurge", "percentage such as"),
    ("worker.rollout", {"maxSurge": True}, "worker.rollout.maxSurge", "percentage such as"),
    ("worker.podTemplate", {}, "worker.podTemplate", "not permitted"),
    ("worker.podSecurityContext", {"runAsUser": -1}, "worker.podSecurityContext.runAsUser", ""),
    ("gateway.replicas", -1, "gateway.replicas", "greater than or equal to 0"),
    ("gateway.maxBodyBytes", 16_777_217, "gateway.maxBodyBytes", "less than or equal"),
    ("gateway.maxHeaderBytes", 10, "gateway.maxHeaderBytes", "greater than or equal to 4096"),
    ("gateway.basePath", "/api/", "gateway.basePath", "match pattern"),
    ("gateway.basePath", "api", "gateway.basePath", "match pattern"),
    ("gateway.basePath", "/a//b", "gateway.basePath", "match pattern"),
    ("gateway.list", "false", "gateway.list", "valid boolean"),
    ("gateway.auth", {}, "gateway.auth.tokens", "required"),
    ("gateway.auth", {"tokens": {}}, "gateway.auth.tokens.file", "set one of secretRef, file"),
    ("gateway.cors", {"allowOrigins": []}, "gateway.cors.allowOrigins", "at least 1"),
    ("gateway.cors", {"allowOrigins": ["x.example"]}, "gateway.cors.allowOrigins.0", ""),
    ("gateway.cors", {"allowOrigins": ["https://x/y"]}, "gateway.cors.allowOrigins.0", ""),
    ("gateway.ingress", {"host": "UPPER"}, "gateway.ingress.host", "match pattern"),
    ("gateway.ingress", {}, "gateway.ingress.host", "required"),
    ("gateway.httpRoute", {"parentRefs": []}, "gateway.httpRoute.parentRefs", "at least 1"),
    ("replicas", 1001, "replicas", "less than or equal to 1000"),
    ("replicas", -1, "replicas", "greater than or equal to 0"),
    ("autoscaling", {"minReplicas": 30}, "autoscaling.maxReplicas", "at least minReplicas (30)"),
    (
        "autoscaling",
        {"minReplicas": 3, "maxReplicas": 2},
        "autoscaling.maxReplicas",
        "at least minReplicas (3)",
    ),
    ("autoscaling", {"maxReplicas": 0}, "autoscaling.maxReplicas", "greater than or equal to 1"),
    ("autoscaling.targetWaitSeconds", 0, "autoscaling.targetWaitSeconds", "greater than"),
    ("queue.maxDepth", 0, "queue.maxDepth", "greater than"),
    ("queue.maxBytes", 2_000, "queue", "must be at least gateway.maxBodyBytes"),
    ("queue.idempotencySeconds", 3_600, "queue.idempotencySeconds", "greater than"),
    ("queue.ttlSeconds", float("inf"), "queue.ttlSeconds", "finite"),
    ("retry.maxRetries", "3", "retry.maxRetries", "valid integer"),
    ("retry.max_retries", 3, "retry.maxRetries", "not permitted"),
    ("retry.multiplier", 0.5, "retry.multiplier", "greater than or equal to 1"),
    ("retry.jitter", "some", "retry.jitter", "'full' or 'none'"),
    ("timeouts.leaseSeconds", 0.5, "timeouts.leaseSeconds", "greater than"),
    ("timeouts.executionSeconds", True, "timeouts.executionSeconds", "valid number"),
    ("retention.maxFinished", 0, "retention.maxFinished", "greater than"),
    ("redis", {"url": "http://x"}, "redis.url", "must be a Redis URL"),
    ("redis", {"url": "redis://"}, "redis.url", "must be a Redis URL"),
    ("redis", {"url": "redis://:secret@h"}, "redis.url", "must not contain a user or password"),
    ("redis", {"url": "rediss://u:secret@h/0"}, "redis.url", "must not contain a user or password"),
    (
        "redis",
        {"url": "redis://h?password=secret"},
        "redis.url",
        "must not contain a user or password",
    ),
    ("redis", {"url": "unix://u:secret@/s"}, "redis.url", "must not contain a user or password"),
    (
        "redis",
        {"url": "redis://h", "secretRef": {"name": "a"}},
        "redis.secretRef",
        "set only one of",
    ),
    ("redis", {"leaveQueue": "a b"}, "redis.leaveQueue", "match pattern"),
    ("className", "Blue", "className", "match pattern"),
    ("onDelete", "Retain", "onDelete", "'Keep' or 'Purge'"),
    ("suspend", "yes", "suspend", "valid boolean"),
    ("routes", [], "routes", "at least 1"),
    ("routes", {}, "routes", "valid tuple"),
    ("routes.0.methods", [], "routes.0.methods", "at least 1"),
    ("routes.0.methods", ["GET"], "routes.0.methods.0", "'POST', 'PUT', 'PATCH' or 'DELETE'"),
    ("routes.0.methods", ["POST", "POST"], "routes.0.methods", 'duplicate method "POST"'),
    ("routes.0.headers", ["X-A", "x-a"], "routes.0.headers", 'duplicate header "x-a"'),
    ("routes.0.headers", ["X A"], "routes.0.headers.0", "match pattern"),
    ("routes.0.job", "", "routes.0.job", "at least 1"),
    ("routes.0.job", "a b", "routes.0.job", "match pattern"),
    ("routes.0.job", "a" * 101, "routes.0.job", "at most 100"),
    ("routes.0.path", "/{x}", "routes.0.path", "could match /jobs, /docs and /openapi.json"),
    ("routes.0.path", "/{x}/y", "routes.0.path", "could match /jobs"),
    ("routes.0.path", "/jobs/x", "routes.0.path", "/jobs is reserved for the gateway"),
    ("routes.0.path", "/docs", "routes.0.path", "/docs is reserved for the gateway"),
    ("routes.0.path", "/a/{b}c", "routes.0.path", "whole segment"),
    ("routes.0.path", "/a/", "routes.0.path", "trailing slash"),
    ("routes.0.schema", {"type": "strin"}, "routes.0.schema.type", "must be array"),
    ("routes.0.schema", True, "routes.0.schema", "valid dictionary"),
    ("routes.0.query", {}, "routes.0.query", "not permitted"),
    ("routes.0.result", {"contentType": "*/*"}, "routes.0.result.contentType", "match pattern"),
    ("routes.0.result", {"contentType": "csv"}, "routes.0.result.contentType", "match pattern"),
    ("routes.0.result", {"schema": {"type": "x"}}, "routes.0.result.schema.type", "must be array"),
    (
        "routes.0.result",
        {"schema": {}, "contentType": "text/csv; charset=utf-8"},
        "routes.0.result.schema",
        "is for JSON, but contentType is text/csv; charset=utf-8",
    ),
    *(
        ("routes.0.unique", {"of": [value]}, "routes.0.unique.of.0", what)
        for value, what in (
            ("params", "match pattern"),
            ("param:", "match pattern"),
            ("pointer:a", "match pattern"),
            ("pointer:/a~2", "match pattern"),
            ("header:X Y", "match pattern"),
            ("param:other", 'the path has no parameter "other"'),
            ("header:X-Tenant", "is not stored with the job; add X-Tenant to headers"),
        )
    ),
    ("routes.0.key", "path", "routes.0.key", "match pattern"),
    ("routes.0.key", "param:other", "routes.0.key", 'the path has no parameter "other"'),
    ("routes.0.key", "header:X-Tenant", "routes.0.key", "add X-Tenant to headers"),
    ("routes.0.unique", {"of": []}, "routes.0.unique.of", "at least 1 item"),
    ("routes.0.unique", {"of": ["path", "path"]}, "routes.0.unique.of", 'duplicate value "path"'),
    ("routes.0.unique", {"seconds": 0}, "routes.0.unique.seconds", "greater than or equal to 1"),
    ("routes.0.unique", {"until": "Done"}, "routes.0.unique.until", "'Started' or 'Finished'"),
    (
        "routes",
        [
            {"path": "/a", "job": "x", "result": {"check": True}},
            {"path": "/b", "job": "x", "result": {"contentType": "text/csv"}},
            {"path": "/c", "job": "x", "result": {"contentType": "text/csv", "check": True}},
        ],
        "routes.2.result",
        'is checked, but spec.routes[0] checks another result of job "x"',
    ),
]


@pytest.mark.parametrize(("path", "value", "where", "what"), INVALID)
def test_values_that_are_refused(path: str, value: Any, where: str, what: str) -> None:
    found = faults(document(path, value))
    assert where in found
    assert what in found[where]
    if path == "redis":
        assert "secret@" not in str(found)
        assert "=secret" not in str(found)


@pytest.mark.parametrize(
    ("metadata", "where"),
    [
        ({}, "name"),
        ({"name": "A"}, "name"),
        ({"name": "a_b"}, "name"),
        ({"name": "a}b"}, "name"),
        ({"name": "a" * 254}, "name"),
        ({"name": "a", "namespace": "b.c"}, "namespace"),
        ({"name": "a", "namespace": ""}, "namespace"),
    ],
)
def test_metadata_that_is_refused(metadata: dict[str, Any], where: str) -> None:
    assert list(faults({**MINIMAL, "metadata": metadata})) == [where]


def test_routes_for_the_same_requests_are_refused() -> None:
    routes = [
        {"path": "/a/{x}", "job": "one"},
        {"path": "/a/{y}", "job": "two", "methods": ["PUT", "POST"]},
        {"path": "/a/b", "job": "three"},
    ]
    found = faults(document("routes", routes))
    assert found == {"routes.1.path": "POST conflicts with spec.routes[0] (/a/{x})"}


def test_a_cluster_requires_more() -> None:
    routes = [{"path": "/a", "job": "x"}, {"path": "/a", "job": "y", "methods": ["PUT"]}]
    doc = {**document("routes", routes), "metadata": {"name": "0" + "a" * MAX_NAME_LENGTH}}
    endpoint = AsyncEndpoint.parse(doc)
    assert [fault.path for fault in cluster_faults(endpoint)] == [
        "metadata.name",
        "metadata.name",
        "spec.worker",
        "spec.routes[1].path",
    ]
    assert cluster_faults(AsyncEndpoint.parse(DESIGN)) == ()


def every_record() -> Iterator[type[BaseModel]]:
    yield AsyncEndpoint
    yield from {field.record for field in walk() if field.record is not None}
    yield from (EndpointSpec, Metadata)


def test_every_field_has_a_description_and_the_mechanical_name() -> None:
    for record in every_record():
        for attribute, info in record.model_fields.items():
            assert info.description, (record, attribute)
            assert info.alias == alias_of(attribute) == to_camel(attribute.rstrip("_"))


def test_every_description_of_an_optional_field_names_its_default() -> None:
    for field in walk():
        if field.path.startswith("spec") and not field.info.is_required() and not field.record:
            text = field.info.description or ""
            said = re.search(r"Default|default|Absent|absent", text)
            bare = isinstance(field.info.default, bool) or field.info.default in (None, "")
            assert said or bare, field.path


def limited(schema: dict[str, Any], path: str, definitions: dict[str, Any]) -> Iterator[str]:
    """Yield the places of a JSON schema where text, lists, maps or numbers have no limit."""
    if "$ref" in schema:
        return
    if "x-kubernetes-preserve-unknown-fields" in schema:
        return
    for option in schema.get("anyOf", []):
        yield from limited(option, path, definitions)
    kind = schema.get("type")
    if kind == "string" and not {"maxLength", "enum", "const"} & set(schema):
        yield path
    if kind in ("integer", "number") and not {"maximum", "minimum"} <= set(schema):
        yield path
    if kind == "array":
        if "maxItems" not in schema:
            yield path
        yield from limited(schema["items"], path + "[]", definitions)
    if kind == "object" and "properties" not in schema and "maxProperties" not in schema:
        yield path


def test_everything_in_the_spec_is_limited() -> None:
    definitions = AsyncEndpoint.model_json_schema()["$defs"]
    unlimited = [
        place
        for name, schema in definitions.items()
        if name != "Metadata"
        for field, part in schema.get("properties", {}).items()
        if "x-kubernetes-int-or-string" not in part
        for place in limited(part, f"{name}.{field}", definitions)
    ]
    assert unlimited == []


def test_every_pattern_is_explained() -> None:
    text = json.dumps(AsyncEndpoint.model_json_schema())
    used = {json.loads(f'"{p}"') for p in re.findall(r'"pattern": "((?:[^"\\]|\\.)*)"', text)}
    unexplained = {p for p in used if p not in PATTERNS}
    # Checked by code, which says more than a pattern: a route's path, IntOrPercent, label values.
    assert len(unexplained) == 3


def test_fields_know_where_they_belong() -> None:
    assert homes("maxRetries") == ("spec.retry",)
    assert homes("tolerations") == ("spec.gateway", "spec.worker")
    assert homes("nonsense") == ()
    assert record_in(EndpointSpec.model_fields["routes"].annotation) is Route
    assert resolve(("spec", "worker", "max_result_bytes"))[0] == (
        "spec",
        "worker",
        "maxResultBytes",
    )
    assert all(issubclass(record, Record) for record in every_record())


def schedule(**changes: Any) -> dict[str, Any]:
    """Return the minimal document with one schedule."""
    made = {"name": "nightly", "cron": "0 3 * * *", "job": "build-report"}
    return document("schedules", [made | changes])


def test_the_hash_of_a_schedule_changes_with_what_it_says_alone() -> None:
    def hash_of(**changes: Any) -> str:
        [one] = AsyncEndpoint.parse(schedule(**changes)).spec.policy().schedules.values()
        return one

    # Written down: another value would begin every schedule anew with an upgrade.
    assert hash_of() == "b5194e1361140d63"
    assert hash_of(timeZone="Etc/UTC", suspend=False, tags=[], priority="normal") == hash_of()
    changes: list[dict[str, Any]] = [
        {"cron": "0 4 * * *"},
        {"timeZone": "Europe/Berlin"},
        {"job": "other"},
        {"body": {}},
        {"body": 0},
        {"key": "acme"},
        {"concurrencyPolicy": "Forbid"},
        {"startingDeadlineSeconds": 300},
        {"suspend": True},
        {"priority": "high"},
        {"tags": ["a"]},
    ]
    assert len({hash_of(), *(hash_of(**change) for change in changes)}) == len(changes) + 1


@pytest.mark.parametrize("body", [{"a": None}, [1, "x"], "text", 0, False, 1.5, "ünïcode"])
def test_the_body_of_a_schedule_is_any_json(body: Any) -> None:
    endpoint = AsyncEndpoint.parse(schedule(body=body))
    assert endpoint.spec.schedules[0].body == body
    assert AsyncEndpoint.parse(endpoint.document()) == endpoint


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"cron": "61 * * * *"}, "cron", "cannot be read: invalid minute"),
        ({"cron": "@reboot"}, "cron", "cannot be read: unknown alias"),
        ({"timeZone": "Europe/Berln"}, "timeZone", 'no time zone "Europe/Berln" in the IANA'),
        ({"body": float("nan")}, "body", "must be valid JSON"),
        ({"body": "x" * 32_768}, "body", "must be at most 32768 bytes"),
        ({"body": "\ud800"}, "body", "must be valid JSON"),
        ({"key": "ü" * 33}, "key", "has 66 bytes, but at most 64"),
        ({"tags": ["a", "a"]}, "tags", 'duplicate tag "a"'),
        ({"tags": ["a"] * 11}, "tags", "at most 10 items"),
    ],
)
def test_a_schedule_that_is_refused(change: dict[str, Any], field: str, says: str) -> None:
    found = faults(schedule(**change))
    assert says in found[f"schedules.0.{field}"]


def test_names_of_schedules_are_unique() -> None:
    doc = schedule()
    doc["spec"]["schedules"] *= 2
    assert 'duplicate schedule "nightly"' in faults(doc)["schedules"]
    doc["spec"]["schedules"] = [{"name": f"s{i}", "cron": "@daily", "job": "a"} for i in range(101)]
    assert "at most 100 items" in faults(doc)["schedules"]


def test_the_policy_names_the_jobs_of_webhooks() -> None:
    def of(*webhooks: list[str]) -> tuple[str, ...]:
        each = [
            {"name": f"w{n}", "url": "https://example.com", "secrets": {"file": "s"}, "jobs": jobs}
            for n, jobs in enumerate(webhooks)
        ]
        return AsyncEndpoint.parse(document("webhooks", each)).spec.policy().webhook_jobs

    job = AsyncEndpoint.parse(MINIMAL).spec.routes[0].job
    assert of() == ()
    assert of([job], [job]) == (job,)
    assert of([job], []) == ()  # one is sent events of all jobs
