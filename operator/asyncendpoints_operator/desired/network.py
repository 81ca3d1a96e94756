"""Access to the gateway: Service, Ingress, HTTPRoute, NetworkPolicies, and the URL. Pure.

None of them exposes the admin port.
"""

from typing import Any, Final

from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_core.resource.containers import ADMIN_PORT
from asyncendpoints_core.resource.gateway import HTTP_PORT
from asyncendpoints_operator.desired.naming import (
    GATEWAY,
    SERVICE_PORT,
    WORKER,
    Manifest,
    Platform,
    child,
    selector,
)
from asyncendpoints_operator.desired.volumes import dump

_ALL: Final = "/"


def service(endpoint: AsyncEndpoint) -> Manifest:
    """Return the Service in front of the gateway."""
    options = endpoint.spec.gateway.service
    port = {
        "name": "http",
        "port": SERVICE_PORT,
        "targetPort": "http",
        "protocol": "TCP",
        "appProtocol": "http",
    }
    spec = {"type": options.type, "selector": selector(endpoint, GATEWAY), "ports": [port]}
    return child(endpoint, GATEWAY, "Service", endpoint.name, options.annotations, spec=spec)


def ingress(endpoint: AsyncEndpoint) -> Manifest | None:
    """Return the Ingress, or None if the resource has none."""
    options = endpoint.spec.gateway.ingress
    if options is None:
        return None
    backend = {"service": {"name": endpoint.name, "port": {"name": "http"}}}
    path = {
        "path": endpoint.spec.gateway.base_path or _ALL,
        "pathType": "Prefix",
        "backend": backend,
    }
    spec: dict[str, Any] = {"rules": [{"host": options.host, "http": {"paths": [path]}}]}
    if options.class_name is not None:
        spec["ingressClassName"] = options.class_name
    if options.tls_secret is not None:
        spec["tls"] = [{"hosts": [options.host], "secretName": options.tls_secret}]
    return child(endpoint, GATEWAY, "Ingress", annotations=options.annotations, spec=spec)


def http_route(endpoint: AsyncEndpoint) -> Manifest | None:
    """Return the HTTPRoute (Gateway API v1), or None; it strips gateway.basePath itself."""
    options = endpoint.spec.gateway.http_route
    if options is None:
        return None
    base = endpoint.spec.gateway.base_path
    rule: dict[str, Any] = {
        "matches": [{"path": {"type": "PathPrefix", "value": base or _ALL}}],
        "backendRefs": [{"name": endpoint.name, "port": SERVICE_PORT}],
    }
    if base:
        rewrite = {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": _ALL}}
        rule["filters"] = [{"type": "URLRewrite", "urlRewrite": rewrite}]
    spec: dict[str, Any] = {
        "parentRefs": [dump(parent) for parent in options.parent_refs],
        "rules": [rule],
    }
    if options.hostnames:
        spec["hostnames"] = list(options.hostnames)
    return child(endpoint, GATEWAY, "HTTPRoute", annotations=options.annotations, spec=spec)


def network_policies(endpoint: AsyncEndpoint, platform: Platform) -> list[Manifest]:
    """Return the NetworkPolicies of gateway and workers, if the resource has them.

    Clients may reach the gateway's HTTP port, `platform.metrics_from` the admin ports; all other
    ingress is denied. NetworkPolicies do not apply to the kubelet's probes.
    """
    options = endpoint.spec.network_policy
    if options is None:
        return []
    clients = _rule(HTTP_PORT, list(options.gateway_from))
    metrics = (
        [_rule(ADMIN_PORT, [dict(peer) for peer in platform.metrics_from])]
        if platform.metrics_from
        else []
    )
    return [
        _policy(endpoint, GATEWAY, [clients, *metrics]),
        _policy(endpoint, WORKER, metrics),
    ]


def _rule(port: int, peers: list[dict[str, Any]]) -> dict[str, Any]:
    rule: dict[str, Any] = {"ports": [{"port": port, "protocol": "TCP"}]}
    return {**rule, "from": peers} if peers else rule


def _policy(endpoint: AsyncEndpoint, component: str, rules: list[dict[str, Any]]) -> Manifest:
    spec = {
        "podSelector": {"matchLabels": selector(endpoint, component)},
        "policyTypes": ["Ingress"],
        "ingress": rules,
    }
    return child(endpoint, component, "NetworkPolicy", spec=spec)


def url_of(endpoint: AsyncEndpoint, load_balancer: str = "") -> str:
    """Return the URL for clients: of the HTTPRoute, Ingress, load balancer, or the Service.

    `load_balancer` is the address in the Service's status, if it has one. The scheme of an
    HTTPRoute depends on its Gateway, which is not read; https is assumed.
    """
    gateway = endpoint.spec.gateway
    if gateway.http_route is not None and gateway.http_route.hostnames:
        return f"https://{gateway.http_route.hostnames[0]}{gateway.base_path}"
    if gateway.ingress is not None:
        scheme = "https" if gateway.ingress.tls_secret else "http"
        return f"{scheme}://{gateway.ingress.host}{gateway.base_path}"
    if load_balancer:
        host = f"[{load_balancer}]" if ":" in load_balancer else load_balancer
        return f"http://{host}"
    return f"http://{endpoint.name}.{endpoint.metadata.namespace}.svc"
