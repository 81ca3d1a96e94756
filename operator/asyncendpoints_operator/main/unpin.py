"""`asyncendpoints unpin`: removes spec.replicas, so that an endpoint is scaled by its jobs."""

import asyncio
import sys
from pathlib import Path
from typing import Final

from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.resource import API_VERSION, KIND
from asyncendpoints_operator.kube.client import Ref, Refused, connect
from asyncendpoints_operator.kube.kubernetes_aio import config

_POD_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def unpin(name: str, namespace: str | None, kubeconfig: str | None, context: str | None) -> None:
    """Remove spec.replicas and print what was done in one line. Raises UsageError, Refused."""
    where = namespace or _default_namespace(kubeconfig, context)
    asyncio.run(_run(Ref(API_VERSION, KIND, where, name), kubeconfig or "", context or ""))


async def _run(ref: Ref, kubeconfig: str, context: str) -> None:
    cluster = await connect(kubeconfig, context)
    try:
        before = (await cluster.get(ref))["spec"].get("replicas")
        what = "was not pinned"
        if before is not None:
            await cluster.merge(ref, {"spec": {"replicas": None}})
            what = f"was pinned at {before}, it is now scaled by its jobs"
    except Refused as error:
        if error.missing:
            raise UsageError(f"AsyncEndpoint {ref.namespace}/{ref.name} does not exist") from None
        raise
    finally:
        await cluster.close()
    sys.stdout.write(f"{ref.namespace}/{ref.name} {what}\n")


def _default_namespace(kubeconfig: str | None, context: str | None) -> str:
    """Return the namespace of the context, as kubectl does."""
    if _POD_NAMESPACE.exists() and not (kubeconfig or context):
        return _POD_NAMESPACE.read_text(encoding="utf-8").strip()
    try:
        contexts, active = config.list_kube_config_contexts(kubeconfig or None)
    except (config.ConfigException, OSError):
        return "default"
    chosen = next((one for one in contexts if one["name"] == context), active)
    return str(chosen["context"].get("namespace") or "default")
