"""The volumes of gateway and worker pods, and where they are mounted. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from asyncendpoints_core.common.console import DATA_KEY, secret_name
from asyncendpoints_core.jobs.policy import CLIENTS
from asyncendpoints_core.resource import AsyncEndpoint, PodOptions
from asyncendpoints_core.resource.base import Record
from asyncendpoints_operator.desired.config import FILE
from asyncendpoints_operator.desired.naming import REDIS_KEY, redis_secret_name

ENDPOINT_FOLDER: Final = "/etc/asyncendpoints"
REDIS_FOLDER: Final = "/etc/asyncendpoints-redis"
TOKENS_FOLDER: Final = "/etc/asyncendpoints-tokens"
WEBHOOKS_FOLDER: Final = "/etc/asyncendpoints-webhooks"
CONSOLE_FOLDER: Final = "/etc/asyncendpoints-console"
_VOLUME: Final = "asyncendpoints-"

# For every user of the image: it may run with another group than 0.
_READABLE: Final = 0o444


def dump(record: Record) -> dict[str, Any]:
    """Return a part of the resource as a Kubernetes object, without unset fields."""
    dumped: dict[str, Any] = record.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {key: value for key, value in dumped.items() if value not in ("", [])}


Mounted = list[tuple[dict[str, Any], dict[str, Any]]]
"""Volumes, each with its mount."""


def own_volumes(endpoint: AsyncEndpoint, config: str) -> Mounted:
    """Return the volumes of every pod: the endpoint and the Redis URL.

    Secrets are mounted whole, without subPath, so that a rotated one arrives (docs/rules.md K21).
    """
    volumes = [_volume("endpoint", ENDPOINT_FOLDER, configMap=_files(name=config, key=FILE))]
    redis = endpoint.spec.redis
    if redis.secret_ref is not None:
        secret = _files(secretName=redis.secret_ref.name, key=redis.secret_ref.key, path=REDIS_KEY)
        volumes.append(_volume("redis", REDIS_FOLDER, secret=secret))
    elif redis.url is None:
        secret = _files(secretName=redis_secret_name(endpoint), key=REDIS_KEY)
        volumes.append(_volume("redis", REDIS_FOLDER, secret=secret))
    return volumes


def _files(key: str, path: str = "", **source: str) -> dict[str, Any]:
    """Return a volume source with one entry of a ConfigMap or Secret as one file."""
    return {**source, "defaultMode": _READABLE, "items": [{"key": key, "path": path or key}]}


def token_files(endpoint: AsyncEndpoint) -> Mounted:
    """Return the volume of the gateway's bearer tokens, if they are in a Secret."""
    auth = endpoint.spec.gateway.auth
    ref = auth.tokens.secret_ref if auth else None
    if ref is None:
        return []
    secret = _files(secretName=ref.name, key=ref.key, path="tokens")
    return [_volume("tokens", TOKENS_FOLDER, secret=secret)]


def webhook_files(endpoint: AsyncEndpoint) -> Mounted:
    """Return the volume with the secrets and URLs of webhooks that are in Secrets.

    A Secret that does not exist keeps no gateway from starting: its webhook waits.
    """
    refs = {}
    for webhook in endpoint.spec.webhooks:
        refs[f"{webhook.name}.secrets"] = webhook.secrets.secret_ref
        if webhook.url_from is not None:
            refs[f"{webhook.name}.url"] = webhook.url_from.secret_ref
    if endpoint.spec.webhook_requests is not None:
        refs[f"{CLIENTS}.secrets"] = endpoint.spec.webhook_requests.secrets.secret_ref
    files = {path: (ref.name, ref.key) for path, ref in refs.items() if ref is not None}
    return _optional_files("webhooks", WEBHOOKS_FOLDER, files)


def console_files(endpoint: AsyncEndpoint, roles: Iterable[str]) -> Mounted:
    """Return the volume with the tokens of the console.

    A Secret that was deleted keeps no gateway from starting: that token is off meanwhile.
    """
    files = {role: (secret_name(endpoint.name, role), DATA_KEY) for role in roles}
    return _optional_files("console", CONSOLE_FOLDER, files)


def _optional_files(name: str, folder: str, files: Mapping[str, tuple[str, str]]) -> Mounted:
    """Return the volume with files from Secrets that may not exist; [] without any.

    `files` are the names of the Secrets and their keys, by the files' paths in `folder`.
    """
    sources = [
        {"secret": {"name": secret, "items": [{"key": key, "path": path}], "optional": True}}
        for path, (secret, key) in files.items()
    ]
    if not sources:
        return []
    projected = {"defaultMode": _READABLE, "sources": sources}
    return [_volume(name, folder, projected=projected)]


def _volume(
    name: str, folder: str, **source: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    full = _VOLUME + name
    return {"name": full, **source}, {"name": full, "mountPath": folder, "readOnly": True}


def scratch(options: PodOptions, size: str) -> Mounted:
    """Return the writable /tmp, unless the user mounts a volume there."""
    if any(mount.mount_path.rstrip("/") == "/tmp" for mount in options.volume_mounts):  # noqa: S108
        return []
    name = f"{_VOLUME}tmp"
    mount = {"name": name, "mountPath": "/tmp"}  # noqa: S108 - it is the pod's own
    return [({"name": name, "emptyDir": {"sizeLimit": size}}, mount)]


def user_volumes(options: PodOptions) -> list[dict[str, Any]]:
    """Return the user's volumes."""
    result = []
    for volume in options.volumes:
        source: dict[str, Any] = {"name": volume.name}
        for field in ("config_map", "secret", "empty_dir", "persistent_volume_claim", "projected"):
            value = getattr(volume, field)
            if value is not None:
                source[type(volume).model_fields[field].alias or field] = dump(value)
        result.append(source)
    return result


def user_mounts(options: PodOptions) -> list[dict[str, Any]]:
    """Return the mounts of the user's volumes."""
    return [dump(mount) for mount in options.volume_mounts]
