"""The children of an endpoint: golden manifests, and each rule that they must keep."""

from typing import Any

import pytest
import yaml

from asyncendpoints_core.process.settings import Settings
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_operator.desired.config import cpu_limit
from asyncendpoints_operator.desired.naming import (
    CHILD_KINDS,
    TEMPLATE_ANNOTATION,
    Live,
    Platform,
    is_ours,
    selector_text,
)
from asyncendpoints_operator.desired.network import url_of
from asyncendpoints_operator.desired.objects import (
    desired,
    identity,
    obsolete,
    redis_secret,
)
from asyncendpoints_operator.desired.worker import live_of
from asyncendpoints_operator.main.operator import platform_of
from support.golden import check_golden
from support.paths import GOLDEN
from support.resources import FULL, HTTP_MODE, MINIMAL, merge

UID = "0f2f4a34-8e5b-4f7e-9d1a-3c3a52f1f0a1"
PLATFORM = Platform(
    gateway_image="registry.example/asyncendpoints/gateway:0.1.0",
    worker_image="registry.example/asyncendpoints/worker:0.1.0",
    installation="asyncendpoints.asyncendpoints",
    metrics_from=({"namespaceSelector": {"matchLabels": {"monitoring": "true"}}},),
)
NEXT_VERSION = Platform(
    gateway_image="registry.example/asyncendpoints/gateway:9.9.9",
    worker_image="registry.example/asyncendpoints/worker:9.9.9",
    installation=PLATFORM.installation,
    image_pull_policy="Always",
    gateway_resources={},
    log_level="debug",
)
ONE = Live(1)


def endpoint(document: dict[str, Any], **spec: Any) -> AsyncEndpoint:
    return AsyncEndpoint.parse(merge(document, {"metadata": {"uid": UID}, "spec": spec}))


def children(
    document: dict[str, Any], live: Live = ONE, platform: Platform = PLATFORM, **spec: Any
) -> dict[tuple[str, str], dict[str, Any]]:
    return {identity(one): one for one in desired(endpoint(document, **spec), platform, live)}


def deployment(found: dict[tuple[str, str], dict[str, Any]], component: str) -> dict[str, Any]:
    return next(
        one
        for (kind, name), one in found.items()
        if kind == "Deployment" and name.endswith(f"-{component}")
    )


def pod(found: dict[tuple[str, str], dict[str, Any]], component: str) -> dict[str, Any]:
    spec: dict[str, Any] = deployment(found, component)["spec"]["template"]["spec"]
    return spec


def worker_template(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    template: dict[str, Any] = deployment(children(document, **changes), "worker")["spec"][
        "template"
    ]
    return template


CASES: dict[str, tuple[dict[str, Any], Live, dict[str, Any]]] = {
    "minimal": (MINIMAL, Live(0), {}),
    "full": (FULL, Live(4), {}),
    "http-mode": (HTTP_MODE, Live(1), {}),
    "suspended": (MINIMAL, Live(0), {"suspend": True}),
    "pinned": (MINIMAL, Live(3), {"replicas": 3}),
    "gateway-stopped": (MINIMAL, Live(1), {"gateway": {"replicas": 0}}),
    "development-redis": (MINIMAL, Live(1), {"redis": {"url": "redis://redis:6379/0"}}),
}


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    document, live, spec = CASES[name]
    check_golden(GOLDEN / f"{name}.yaml", desired(endpoint(document, **spec), PLATFORM, live))


EVERY = [MINIMAL, FULL, HTTP_MODE]


@pytest.mark.parametrize("document", EVERY)
def test_every_child_is_owned_labelled_and_in_the_namespace(document: dict[str, Any]) -> None:
    resource = endpoint(document)
    kinds = {kind.kind for kind in CHILD_KINDS}
    for (kind, _), child in children(document).items():
        metadata = child["metadata"]
        assert kind in kinds
        assert metadata["namespace"] == "demo"
        assert metadata["labels"]["asyncendpoints.io/endpoint"] == resource.name
        (owner,) = metadata["ownerReferences"]
        assert owner["uid"] == UID
        assert owner["controller"] is True
        assert owner["blockOwnerDeletion"] is False  # so no right on finalizers


# What a resource may change, in gateway and worker.
_OWN = dict.fromkeys(("securityContext", "podSecurityContext", "initContainers", "sidecars"))
UNCHANGED = [MINIMAL, merge(FULL, {"spec": {"gateway": _OWN, "worker": _OWN}}), HTTP_MODE]


@pytest.mark.parametrize("document", UNCHANGED)
@pytest.mark.parametrize("component", ["gateway", "worker"])
def test_pods_pass_the_restricted_standard(document: dict[str, Any], component: str) -> None:
    spec = pod(children(document), component)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert "runAsUser" not in spec["securityContext"]  # OpenShift assigns one
    for container in [*spec["containers"], *spec.get("initContainers", ())]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["readOnlyRootFilesystem"] is True
        assert "runAsUser" not in security
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert "/tmp" in mounts
    sized = {v["name"]: v["emptyDir"] for v in spec["volumes"] if "emptyDir" in v}
    assert sized["asyncendpoints-tmp"]["sizeLimit"]
    assert spec["enableServiceLinks"] is False


def test_accounts_have_no_token() -> None:
    found = children(MINIMAL)
    for component in ("gateway", "worker"):
        account = found["ServiceAccount", f"reports-{component}"]
        assert account["automountServiceAccountToken"] is False
        assert pod(found, component)["automountServiceAccountToken"] is False


def test_an_account_of_the_users_own_keeps_its_token() -> None:
    found = children(FULL)
    assert ("ServiceAccount", "everything-worker") not in found
    assert pod(found, "worker")["serviceAccountName"] == "reports-cloud"
    assert "automountServiceAccountToken" not in pod(found, "worker")


@pytest.mark.parametrize("document", [MINIMAL, FULL])
def test_another_version_of_the_operator_rolls_no_worker(document: dict[str, Any]) -> None:
    assert worker_template(document) == worker_template(document, platform=NEXT_VERSION)


def test_an_upgrade_keeps_the_agent_of_http_mode() -> None:
    first = deployment(children(HTTP_MODE), "worker")
    live = live_of(first, 2)
    upgraded = deployment(children(HTTP_MODE, live, NEXT_VERSION), "worker")
    assert upgraded["spec"]["template"] == first["spec"]["template"]
    assert upgraded["spec"]["replicas"] == 2


def test_an_agent_that_cannot_work_is_replaced() -> None:
    first = deployment(children(HTTP_MODE), "worker")
    live = live_of(first, 2, refused=True)
    replaced = deployment(children(HTTP_MODE, live, NEXT_VERSION), "worker")
    agent = replaced["spec"]["template"]["spec"]["containers"][0]
    assert agent["image"] == NEXT_VERSION.worker_image
    assert replaced["spec"]["replicas"] == 2
    settled = deployment(children(HTTP_MODE, live_of(replaced, 2), NEXT_VERSION), "worker")
    assert settled == replaced


def test_a_changed_spec_takes_the_new_agent() -> None:
    live = live_of(deployment(children(HTTP_MODE), "worker"), 2)
    changed = children(HTTP_MODE, live, NEXT_VERSION, worker={"image": "registry.example/thumbs:8"})
    spec = pod(changed, "worker")
    assert spec["containers"][0]["image"] == NEXT_VERSION.worker_image
    assert spec["initContainers"][0]["image"] == "registry.example/thumbs:8"


def test_pods_carry_the_hash_of_their_template() -> None:
    def mark(**spec: Any) -> str:
        notes: dict[str, str] = worker_template(MINIMAL, **spec)["metadata"]["annotations"]
        return notes[TEMPLATE_ANNOTATION]

    assert mark() == mark(queue={"maxDepth": 5})
    assert mark() != mark(worker={"image": "other"})


def test_without_a_deployment_there_is_nothing_to_keep() -> None:
    assert live_of(None, 5) == Live(5)


TUNABLES: list[dict[str, Any]] = [
    {"queue": {"maxDepth": 7}},
    {"retry": {"maxRetries": 9}},
    {"retention": {"failedSeconds": 60}},
    {"autoscaling": {"maxReplicas": 3}},
    {"suspend": True},
    {"replicas": 4},
    {"onDelete": "Purge"},
    {"reportFailures": True},
    {"className": "blue"},
]


@pytest.mark.parametrize("change", TUNABLES, ids=lambda change: next(iter(change)))
@pytest.mark.parametrize("component", ["gateway", "worker"])
def test_what_is_read_live_rolls_no_pod(change: dict[str, Any], component: str) -> None:
    before, after = (deployment(children(MINIMAL, **c), component) for c in ({}, change))
    assert before["spec"]["template"] == after["spec"]["template"]


@pytest.mark.parametrize(
    ("change", "rolls"),
    [
        ({"gateway": {"maxBodyBytes": 5}}, {"gateway"}),
        ({"gateway": {"replicas": 5}}, set()),
        ({"gateway": {"env": [{"name": "A", "value": "b"}]}}, {"gateway"}),
        ({"worker": {"concurrency": 3}}, {"worker"}),
        ({"worker": {"image": "other"}}, {"worker"}),
        ({"worker": {"rollout": {"maxSurge": 3}}}, set()),
        ({"gateway": {"podDisruptionBudget": {"enabled": False}}}, set()),
        ({"labels": {"team": "batch"}}, {"gateway", "worker"}),
        ({"timeouts": {"executionSeconds": 60}}, {"worker"}),
        ({"routes": [{"path": "/a", "job": "b"}]}, {"gateway", "worker"}),
        ({"routes": [MINIMAL["spec"]["routes"][0] | {"methods": ["PUT"]}]}, {"gateway"}),
        ({"routes": [MINIMAL["spec"]["routes"][0] | {"schema": {}}]}, {"gateway"}),
        ({"redis": {"secretRef": {"name": "mine"}}}, {"gateway", "worker"}),
    ],
)
def test_a_change_rolls_those_it_concerns(change: dict[str, Any], rolls: set[str]) -> None:
    before, after = children(MINIMAL), children(MINIMAL, **change)
    rolled = {
        component
        for component in ("gateway", "worker")
        if deployment(before, component)["spec"]["template"]
        != deployment(after, component)["spec"]["template"]
    }
    assert rolled == rolls


def test_the_config_maps_are_immutable_and_named_by_their_content() -> None:
    def maps(**spec: Any) -> dict[str, str]:
        found = children(MINIMAL, **spec)
        for (kind, _), child in found.items():
            assert kind != "ConfigMap" or child["immutable"] is True
        return {n: c["data"]["endpoint.yaml"] for (k, n), c in found.items() if k == "ConfigMap"}

    one, other = maps(), maps(worker={"concurrency": 2})
    assert len(one) == 2
    assert len(one.keys() & other.keys()) == 1  # the gateway's is the same
    assert one == maps(queue={"maxDepth": 5})


@pytest.mark.parametrize("document", EVERY)
@pytest.mark.parametrize("component", ["gateway", "worker"])
def test_what_pods_mount_is_an_endpoint_that_parses(
    document: dict[str, Any], component: str
) -> None:
    (text,) = (
        child["data"]["endpoint.yaml"]
        for (kind, name), child in children(document).items()
        if kind == "ConfigMap" and f"-{component}-" in name
    )
    read, full = AsyncEndpoint.parse(yaml.safe_load(text)), endpoint(document)
    assert (read.key, read.metadata.uid) == (full.key, UID)
    if component == "gateway":
        assert read.spec.routes == full.spec.routes
        for field in ("max_body_bytes", "max_waiters", "base_path", "list_", "auth", "cors"):
            assert getattr(read.spec.gateway, field) == getattr(full.spec.gateway, field)
    else:
        assert read.spec.worker.handlers == full.spec.worker.handlers
        assert read.spec.worker.http == full.spec.worker.http
        assert read.spec.worker.max_result_bytes == full.spec.worker.max_result_bytes
        assert read.spec.timeouts == full.spec.timeouts
        assert [r.job for r in read.spec.routes] == [r.job for r in full.spec.routes]


def test_http_mode_puts_the_users_container_beside_the_worker() -> None:
    spec = pod(children(HTTP_MODE), "worker")
    (main,), (target,) = spec["containers"], spec["initContainers"]
    assert main["image"] == PLATFORM.worker_image
    assert target["restartPolicy"] == "Always"  # ends after the main container (docs/rules.md K1)
    assert target["startupProbe"]["tcpSocket"]
    assert target["ports"] == [{"name": "jobs", "containerPort": 3_000}]
    assert "/models" in {mount["mountPath"] for mount in target["volumeMounts"]}
    assert {"name": "HOME", "value": "/home/node"} in target["env"]
    # Neither the Redis URL nor the endpoint is the user's container's business.
    assert not [m for m in target["volumeMounts"] if m["mountPath"].startswith("/etc/asyncend")]
    assert not [v for v in target["env"] if v["name"].startswith("ASYNCENDPOINTS_")]


def test_http_mode_takes_its_concurrency_from_the_users_cpu_limit() -> None:
    (text,) = (
        child["data"]["endpoint.yaml"]
        for (kind, name), child in children(HTTP_MODE).items()
        if kind == "ConfigMap" and "worker" in name
    )
    assert yaml.safe_load(text)["spec"]["worker"]["concurrency"] == 2


@pytest.mark.parametrize(
    ("cpu", "expected"),
    [("500m", 0.5), ("2", 2.0), (4, 4.0), ("1.5", 1.5), ("", None), ("x", None), ("0", None)],
)
def test_cpu_limits_are_read(cpu: object, expected: float | None) -> None:
    assert cpu_limit({"limits": {"cpu": cpu}}) == expected
    assert cpu_limit({}) is None


def test_grace_is_the_drain_and_a_margin() -> None:
    assert pod(children(MINIMAL), "worker")["terminationGracePeriodSeconds"] == 630
    shorter = children(MINIMAL, timeouts={"drainSeconds": 12.5})
    assert pod(shorter, "worker")["terminationGracePeriodSeconds"] == 43


def test_long_workers_opt_out_of_node_autoscaling() -> None:
    short = worker_template(MINIMAL)["metadata"]["annotations"]
    assert set(short) == {TEMPLATE_ANNOTATION}
    long = worker_template(MINIMAL, timeouts={"executionSeconds": 601})["metadata"]["annotations"]
    assert long["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
    assert long["karpenter.sh/do-not-disrupt"] == "true"


def test_the_users_annotations_win_and_the_labels_do_not() -> None:
    key = "cluster-autoscaler.kubernetes.io/safe-to-evict"
    template = worker_template(
        MINIMAL,
        timeouts={"executionSeconds": 7_200},
        worker={"annotations": {key: "true"}, "labels": {"app.kubernetes.io/name": "mine"}},
    )
    assert template["metadata"]["annotations"][key] == "true"
    assert template["metadata"]["labels"]["app.kubernetes.io/name"] == "asyncendpoints"


@pytest.mark.parametrize("replicas", [0, 1, 7])
def test_replicas_are_always_written(replicas: int) -> None:
    assert deployment(children(MINIMAL, Live(replicas)), "worker")["spec"]["replicas"] == replicas
    stopped = deployment(children(MINIMAL, gateway={"replicas": 0}), "gateway")
    assert stopped["spec"]["replicas"] == 0


def test_rollouts_surge_and_are_never_short_of_a_pod() -> None:
    strategy = deployment(children(MINIMAL), "worker")["spec"]["strategy"]
    assert strategy["rollingUpdate"] == {"maxSurge": "25%", "maxUnavailable": 0}


def test_the_gateway_can_be_disrupted_one_at_a_time() -> None:
    budget = children(MINIMAL)["PodDisruptionBudget", "reports-gateway"]["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_the_admin_port_is_not_in_the_service() -> None:
    ports = children(MINIMAL)["Service", "reports"]["spec"]["ports"]
    assert [(port["port"], port["targetPort"]) for port in ports] == [(80, "http")]


def test_the_gateway_pauses_before_it_ends() -> None:
    spec = pod(children(MINIMAL), "gateway")
    pause = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert 0 < pause < spec["terminationGracePeriodSeconds"]


def test_secrets_are_mounted_whole() -> None:
    for component in ("gateway", "worker"):
        spec = pod(children(FULL), component)
        (volume,) = (v for v in spec["volumes"] if v["name"] == "asyncendpoints-redis")
        assert volume["secret"]["secretName"] == "redis"
        assert volume["secret"]["items"] == [{"key": "address", "path": "url"}]
        mounts = [m for c in spec["containers"] for m in c["volumeMounts"]]
        assert all("subPath" not in m for m in mounts if m["name"].startswith("asyncendpoints-"))


def test_the_tokens_reach_the_gateway_alone() -> None:
    found = children(FULL)
    variable = {
        "name": "ASYNCENDPOINTS_AUTH_TOKENS_FILE",
        "value": "/etc/asyncendpoints-tokens/tokens",
    }
    assert variable in pod(found, "gateway")["containers"][0]["env"]
    assert not [v for v in pod(found, "worker")["volumes"] if "tokens" in v["name"]]


def test_our_variables_win_over_the_users() -> None:
    env = [{"name": "ASYNCENDPOINTS_POD_UID", "value": "forged"}, {"name": "EMPTY", "value": ""}]
    variables = pod(children(MINIMAL, worker={"env": env}), "worker")["containers"][0]["env"]
    names = [variable["name"] for variable in variables]
    assert len(names) == len(set(names))
    assert {"name": "EMPTY", "value": ""} in variables
    assert {"name": "ASYNCENDPOINTS_POD_UID", "value": "forged"} not in variables


def test_a_tmp_of_the_users_own_replaces_ours() -> None:
    worker = {
        "volumes": [{"name": "big", "emptyDir": {"sizeLimit": "100Gi"}}],
        "volumeMounts": [{"name": "big", "mountPath": "/tmp/"}],
    }
    spec = pod(children(MINIMAL, worker=worker), "worker")
    assert "asyncendpoints-tmp" not in {volume["name"] for volume in spec["volumes"]}


def test_network_policies_only_if_configured() -> None:
    assert not [kind for kind, _ in children(MINIMAL) if kind == "NetworkPolicy"]
    found = children(FULL)
    workers = found["NetworkPolicy", "everything-worker"]["spec"]["ingress"]
    assert [rule["ports"][0]["port"] for rule in workers] == [9090]
    clients = found["NetworkPolicy", "everything-gateway"]["spec"]["ingress"][0]
    assert clients["from"] == FULL["spec"]["networkPolicy"]["gatewayFrom"]
    alone = children(MINIMAL, platform=NEXT_VERSION, networkPolicy={})
    assert alone["NetworkPolicy", "reports-worker"]["spec"]["ingress"] == []


def test_who_may_scrape_comes_from_the_settings() -> None:
    peer = {"namespaceSelector": {"matchLabels": {"team": "observability"}}}
    platform = platform_of(Settings(metrics_from=(peer,)))
    found = children(MINIMAL, platform=platform, networkPolicy={})
    for component, ports in (("gateway", [8080, 9090]), ("worker", [9090])):
        rules = found["NetworkPolicy", f"reports-{component}"]["spec"]["ingress"]
        assert [rule["ports"][0]["port"] for rule in rules] == ports
        assert rules[-1]["from"] == [peer]


def test_urls() -> None:
    assert url_of(endpoint(FULL)) == "https://reports.example.com/api"
    ingress = {"ingress": {"host": "r.example.com"}}
    assert url_of(endpoint(MINIMAL, gateway=ingress)) == "http://r.example.com"
    assert url_of(endpoint(MINIMAL), "fd00::1") == "http://[fd00::1]"
    assert url_of(endpoint(MINIMAL)) == "http://reports.demo.svc"


def test_the_selector_is_the_workers() -> None:
    labels = worker_template(MINIMAL)["metadata"]["labels"]
    for term in selector_text(endpoint(MINIMAL)).split(","):
        key, value = term.split("=")
        assert labels[key] == value


def test_an_endpoint_without_uid_has_no_children() -> None:
    with pytest.raises(ValueError, match="no UID"):
        desired(AsyncEndpoint.parse(MINIMAL), PLATFORM, Live())


def test_foreign_objects_are_not_ours() -> None:
    resource = endpoint(MINIMAL)
    ours = redis_secret(resource, "redis://r")
    assert is_ours(ours, resource)
    assert ours["stringData"] == {"url": "redis://r"}
    assert not is_ours({"metadata": {}}, resource)
    earlier = merge(ours, {"metadata": {"ownerReferences": [{"uid": "old", "controller": True}]}})
    assert not is_ours(earlier, resource)
    (own,) = ours["metadata"]["ownerReferences"]
    unmarked, other = {**own, "controller": False}, {"uid": "x", "controller": True}

    def owned(*owners: dict[str, Any]) -> bool:
        return is_ours(merge(ours, {"metadata": {"ownerReferences": owners}}), resource)

    assert owned(unmarked)
    assert owned(own, {"uid": "x"})
    assert not owned(unmarked, other)
    assert not owned({"uid": "x"})


def test_obsolete_children_go_and_others_stay() -> None:
    resource = endpoint(MINIMAL)
    before = desired(
        endpoint(MINIMAL, gateway={"ingress": {"host": "a.example"}}), PLATFORM, Live()
    )
    foreign = {"kind": "Ingress", "metadata": {"name": "reports-foreign"}}
    secret = redis_secret(resource, "redis://r")
    wanted = desired(resource, PLATFORM, Live())
    gone = obsolete(resource, [*before, foreign, secret], wanted, [], rolling=False)
    assert [identity(child) for child in gone] == [("Ingress", "reports-gateway")]


def test_an_old_config_map_stays_while_it_may_be_needed() -> None:
    resource = endpoint(MINIMAL)
    old = [
        child
        for child in desired(endpoint(MINIMAL, worker={"concurrency": 3}), PLATFORM, Live())
        if child["kind"] == "ConfigMap" and "worker" in child["metadata"]["name"]
    ]
    wanted = desired(resource, PLATFORM, Live())
    volume = {"configMap": {"name": old[0]["metadata"]["name"]}}
    pods = [{"spec": {"volumes": [volume, {"emptyDir": {}}]}}]
    assert obsolete(resource, old, wanted, pods, rolling=False) == []
    assert obsolete(resource, old, wanted, [], rolling=True) == []
    assert obsolete(resource, old, wanted, [], rolling=False) == old


def test_an_old_service_account_stays_while_it_may_be_needed() -> None:
    """Without it an old ReplicaSet cannot replace its pods, also if the new ones never start."""
    resource = endpoint(MINIMAL, worker={"serviceAccountName": "own"})
    old = [
        child
        for child in desired(endpoint(MINIMAL), PLATFORM, Live())
        if identity(child) == ("ServiceAccount", "reports-worker")
    ]
    wanted = desired(resource, PLATFORM, Live())
    pods = [{"spec": {"serviceAccountName": "reports-worker"}}]
    assert obsolete(resource, old, wanted, pods, rolling=False) == []
    assert obsolete(resource, old, wanted, [], rolling=True) == []
    assert obsolete(resource, old, wanted, [], rolling=False) == old


def test_an_endpoint_cannot_widen_what_its_webhooks_reach() -> None:
    names = ("ASYNCENDPOINTS_WEBHOOK_ALLOW", "ASYNCENDPOINTS_WEBHOOK_ALLOW_PRIVATE_CIDRS", "OWN")
    env = [{"name": name, "value": "127.0.0.1:80"} for name in names]
    found = pod(children(MINIMAL, gateway={"env": env}), "gateway")["containers"][0]["env"]
    assert {one["name"] for one in found} & set(names) == {"OWN"}
