"""The client of the Kubernetes API: read, server-side apply, patch and delete plain manifests.

Objects are dicts in the format of the API. An error response raises `Refused` with its status and
message; if the API server does not respond, `Unreachable` is raised.
"""

import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

from aiohttp import ClientError

from asyncendpoints_core.common.faults import one_line
from asyncendpoints_core.errors import AsyncEndpointsError, UsageError
from asyncendpoints_operator.desired.naming import FIELD_MANAGER, Manifest
from asyncendpoints_operator.kube.kubernetes_aio import ApiException, client, config
from asyncendpoints_operator.kube.proxy import bypass_proxy

_READ_SECONDS: Final = 15.0
_WRITE_SECONDS: Final = 35.0
"""Longer than any admission webhook may take (30 s): the API server's answer names the webhook."""
_SHOWN_CHARS: Final = 200
"""How much is shown of an answer that is not JSON."""
_PAGE: Final = 50
_LARGE: Final = {"AsyncEndpoint": 20, "Deployment": 20}
"""How many whole objects a list has in memory at a time, less of those of more than 10 KB."""
_CREDENTIALS_AGE: Final = timedelta(minutes=5)
"""A mounted token is rotated before it expires, so it is read again after this time."""

PLURALS: Final = {
    "AsyncEndpoint": "asyncendpoints",
    "ConfigMap": "configmaps",
    "Deployment": "deployments",
    "Event": "events",
    "HTTPRoute": "httproutes",
    "Ingress": "ingresses",
    "Lease": "leases",
    "Namespace": "namespaces",
    "NetworkPolicy": "networkpolicies",
    "Pod": "pods",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "Secret": "secrets",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
}


# `connect` reports a missing kubeconfig itself, in one line.
logging.getLogger("kubernetes.aio.config.kube_config").setLevel(logging.ERROR)


class Unreachable(AsyncEndpointsError):
    """The API server did not respond: the outcome is unknown, retry later."""


class Refused(AsyncEndpointsError):
    """The API server responded with an error."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        """Keep the HTTP status, the API's reason (such as `Invalid`) and its message."""
        super().__init__(message or reason or str(status))
        self.status, self.reason = status, reason

    @property
    def missing(self) -> bool:
        """Whether the object does not exist (404); no other status implies that."""
        return self.status == 404

    @property
    def outdated(self) -> bool:
        """Whether the object is gone or was changed. Admission webhooks may answer 404 or 409 too,
        without these reasons.
        """
        return self.reason in {"NotFound", "Conflict"}

    @property
    def conflict(self) -> bool:
        """Whether a precondition failed or the name is taken (409)."""
        return self.status == 409


@dataclass(frozen=True, slots=True)
class Ref:
    """A reference to one object."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Self:
        """Return the reference to a manifest's object."""
        meta = manifest["metadata"]
        return cls(
            manifest["apiVersion"], manifest["kind"], meta.get("namespace", ""), meta["name"]
        )

    @property
    def path(self) -> str:
        """The path of the object in the API."""
        return f"{collection(self.api_version, self.kind, self.namespace)}/{self.name}"


def collection(api_version: str, kind: str, namespace: str | None) -> str:
    """Return the path of a kind's objects, in one namespace or (None or "") in all."""
    root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{scope}/{PLURALS[kind]}"


class Cluster:
    """A connection to one API server. `requests` counts the calls made, for /metrics. `guard`
    is called before each write, and raises when this process may not write (any more).
    """

    def __init__(self, api: client.ApiClient, guard: Callable[[], object]) -> None:
        self.api, self.guard = api, guard
        self.requests = 0

    async def get(self, ref: Ref) -> Manifest:
        """Read one object; raises Refused with `missing` if it does not exist."""
        return await self._call("GET", ref.path)

    async def list(
        self,
        api_version: str,
        kind: str,
        namespace: str | None = None,
        selector: str = "",
        *,
        fields: str = "",
    ) -> AsyncIterator[Manifest]:
        """Read every object of a kind, page by page, by label and field selectors."""
        selectors = {"labelSelector": selector, "fieldSelector": fields}
        limit = str(_LARGE.get(kind, _PAGE))
        query = [("limit", limit), *((key, text) for key, text in selectors.items() if text)]
        token = ""
        while True:
            page = await self._call(
                "GET",
                collection(api_version, kind, namespace),
                [*query, *([("continue", token)] if token else [])],
            )
            for item in page["items"]:
                yield {"apiVersion": api_version, "kind": kind, **item}
            token = page["metadata"].get("continue", "")
            if not token:
                return

    async def create(self, manifest: Manifest) -> Manifest:
        """Create an object; raises Refused with `conflict` if the name is taken."""
        self.guard()
        ref = Ref.of(manifest)
        path = collection(ref.api_version, ref.kind, ref.namespace)
        return await self._call("POST", path, [("fieldManager", FIELD_MANAGER)], manifest)

    async def apply(self, manifest: Manifest) -> Manifest:
        """Server-side apply with the operator's field manager (KEP-555), forcing conflicts.

        A `metadata.resourceVersion` or `uid` in the manifest is a precondition (409 if it differs).
        """
        self.guard()
        query = [("fieldManager", FIELD_MANAGER), ("force", "true")]
        return await self._call(
            "PATCH", Ref.of(manifest).path, query, manifest, "application/apply-patch+yaml"
        )

    async def merge(self, ref: Ref, patch: Manifest, *, subresource: str = "") -> Manifest:
        """Apply a JSON merge patch (RFC 7396) to an object or its subresource."""
        self.guard()
        path = f"{ref.path}/{subresource}" if subresource else ref.path
        query = [("fieldManager", FIELD_MANAGER)]
        return await self._call("PATCH", path, query, patch, "application/merge-patch+json")

    async def delete(
        self, ref: Ref, *, uid: str | None, grace_seconds: int | None = None
    ) -> Manifest | None:
        """Delete the object with this UID, if it still exists; return it if finalizers keep it.

        None is for an object whose name is unique to the operator. `grace_seconds` is for pods.
        """
        self.guard()
        options: Manifest = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
        }
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        try:
            answer = await self._call("DELETE", ref.path, [], options)
        except Refused as error:
            if not error.missing:
                raise
            return None
        return answer if (answer.get("metadata") or {}).get("finalizers") else None

    async def has(self, ref: Ref, uid: str) -> bool:
        """Whether an object of this UID exists, of a kind that may be deleted but not read."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "dryRun": ["All"],
            "preconditions": {"uid": uid},
        }
        try:
            await self._call("DELETE", ref.path, [], options)
        except Refused as error:
            if error.missing or error.conflict:
                return False
            raise
        return True

    async def serves(self, api_version: str, kind: str) -> bool:
        """Whether the API server has a kind, of a group that has a name."""
        try:
            found = await self._call("GET", f"/apis/{api_version}")
        except Refused as error:
            if error.missing:
                return False
            raise
        return any(resource["name"] == PLURALS[kind] for resource in found["resources"])

    async def may_watch(self, api_version: str, kind: str, namespace: str | None) -> bool:
        """Whether the operator's roles allow to watch a kind; namespace None: in all of them."""
        group = api_version.rpartition("/")[0]
        attributes = {"verb": "watch", "group": group, "resource": PLURALS[kind]}
        review = {"spec": {"resourceAttributes": {**attributes, "namespace": namespace or ""}}}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = await self._call("POST", path, body=review)
        return bool(answer["status"]["allowed"])

    async def credentials(self) -> dict[str, Any]:
        """Return the connection's server and credentials, as fields of kopf.ConnectionInfo."""
        config = self.api.configuration
        key = await config.get_api_key_with_prefix("BearerToken") or ""
        scheme, _, token = key.rpartition(" ")
        return {
            "server": config.host,
            "ca_path": config.ssl_ca_cert,
            "insecure": not config.verify_ssl,
            "certificate_path": config.cert_file,
            "private_key_path": config.key_file,
            "scheme": scheme or None,
            "token": token or None,
            "proxy_url": config.proxy,
            "trust_env": True,
            "expiration": datetime.now(UTC) + _CREDENTIALS_AGE,
        }

    async def close(self) -> None:
        """Close the connections."""
        await self.api.close()

    async def _call(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]] = (),
        body: Manifest | None = None,
        content_type: str = "application/json",
    ) -> Manifest:
        self.requests += 1
        headers = {"Accept": "application/json", "Content-Type": content_type}
        try:
            request = await self.api.param_serialize(
                method,
                path,
                query_params=list(query),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
            )
            seconds = _READ_SECONDS if method == "GET" else _WRITE_SECONDS
            response = await self.api.call_api(*request, _request_timeout=seconds)
            text = await response.read()
        except ApiException as error:
            raise _refusal(error.status or 0, error.body or "", error.reason or "") from None
        except (ClientError, OSError, TimeoutError) as error:
            raise Unreachable(f"the API server did not respond: {error!r}") from error
        if not 200 <= response.status < 300:
            raise _refusal(response.status, text, response.reason or "")
        try:
            answer: Manifest = json.loads(text)
        except ValueError:
            shown = one_line(text.decode(errors="replace"))[:_SHOWN_CHARS]
            raise Unreachable(f"not a response of the Kubernetes API: {shown}") from None
        return answer


def _refusal(status: int, body: str | bytes, reason: str) -> Refused:
    try:
        answer = json.loads(body)
        return Refused(status, str(answer.get("reason", reason)), str(answer.get("message", "")))
    except (ValueError, AttributeError):
        text = one_line(body.decode(errors="replace") if isinstance(body, bytes) else body)
        return Refused(status, reason, "" if text.startswith("<") else text[:_SHOWN_CHARS])


async def connect(kubeconfig: str = "", context: str = "") -> Cluster:
    """Connect with a kubeconfig file, the pod's service account, or the default kubeconfig.

    Nothing guards its writes.
    """
    try:
        if kubeconfig or context:
            await config.load_kube_config(config_file=kubeconfig or None, context=context or None)
        else:
            try:
                config.load_incluster_config()
            except config.ConfigException:
                await config.load_kube_config()
    except (config.ConfigException, OSError) as error:
        raise UsageError(f"no Kubernetes cluster: {error}; set --kubeconfig FILE") from None
    api = client.ApiClient()
    if not api.configuration.proxy:
        bypass_proxy(api.configuration.host)
    return Cluster(api, lambda: None)
