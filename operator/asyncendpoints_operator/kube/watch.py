"""Watches the cluster with kopf, and passes every event on as a plain manifest.

This is the only module that imports kopf. kopf runs in its own thread and event loop, because it
cancels all other tasks of its loop when it exits, and handles the process's signals. Its handlers
only convert events; finalizers, annotations, Events, peering and scanning are not used. kopf is
restarted when it fails: an error in a watch is fatal to it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any, Final

import kopf

from asyncendpoints_core.resource import GROUP, KIND
from asyncendpoints_operator.desired.naming import FIELD_MANAGER
from asyncendpoints_operator.desired.objects import CHILD_KINDS
from asyncendpoints_operator.kube.client import PLURALS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncendpoints_operator.desired.naming import Manifest
    from asyncendpoints_operator.kube.client import Cluster

log = logging.getLogger("asyncendpoints.operator")

MANAGED_SELECTOR: Final = f"app.kubernetes.io/managed-by={FIELD_MANAGER}"
"""Selects child objects and pods; endpoints do not have a label of the operator."""
_RESTART_SECONDS: Final = 2.0
_IDENTITY: Any = "asyncendpoints"
"""For kopf's peering. Without it, kopf looks up the user name, which may not exist in a pod."""
_CONNECT_SECONDS: Final = 10.0


def watched(optional: bool) -> list[tuple[str, str, str]]:
    """Return (group, version, kind) of all watched kinds; `optional` includes HTTPRoute."""
    found = [(GROUP, "v1alpha1", KIND), ("", "v1", "Pod")]
    for child in CHILD_KINDS:
        if optional or not child.optional:
            group, _, version = child.api_version.rpartition("/")
            found.append((group, version, child.kind))
    return found


class Watcher:
    """Runs kopf in a thread. In the caller's loop, it calls `put` or `remove` for each event, and
    `lost` when events may have been missed.
    """

    def __init__(
        self,
        cluster: Cluster,
        namespaces: Sequence[str],
        put: Callable[[Manifest], None],
        remove: Callable[[Manifest], None],
        lost: Callable[[], None],
        *,
        optional: bool = False,
    ) -> None:
        self._cluster = cluster
        self._namespaces = namespaces
        self._put, self._remove, self._lost = put, remove, lost
        self._optional = optional
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kopf", daemon=True)

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    async def stop(self) -> None:
        """Stop kopf and wait for its thread."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join, 10)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                asyncio.run(self._watch())
            except Exception as error:
                log.warning("the watch failed and is restarted: %r", error)
            if not self._stop.wait(_RESTART_SECONDS):
                self._loop.call_soon_threadsafe(self._lost)

    async def _watch(self) -> None:
        # Hides the warning that signals are not handled, which is intended.
        logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(self._login)
        settings = _settings()
        for group, version, kind in watched(self._optional):
            plural = PLURALS[kind]
            handle = self._handler(f"{group}/{version}" if group else version, kind)
            kopf.on.event(group, version, plural, registry=registry, id=plural)(handle)
            if kind != KIND:
                settings.watching.label_selectors[group, version, plural] = MANAGED_SELECTOR
        await kopf.operator(
            registry=registry,
            settings=settings,
            identity=_IDENTITY,
            standalone=True,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            stop_flag=self._stop,
        )

    def _handler(self, api_version: str, kind: str) -> Callable[..., Any]:
        async def handle(type: str | None, event: Any, **_: Any) -> None:  # noqa: A002 - kopf's
            manifest: Manifest = {**event["object"], "apiVersion": api_version, "kind": kind}
            if kind != KIND:
                manifest["metadata"] = {
                    k: v for k, v in manifest["metadata"].items() if k != "managedFields"
                }
            act = self._remove if type == "DELETED" else self._put
            self._loop.call_soon_threadsafe(act, manifest)

        return handle

    async def _login(self, **_: Any) -> kopf.ConnectionInfo:
        """Return the current credentials of the operator's own connection."""
        return kopf.ConnectionInfo(**await self._cluster.credentials())


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.watching.connect_timeout = _CONNECT_SECONDS
    settings.watching.server_timeout = 300
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = (0.5, 1, 2, 4)
    settings.networking.trust_env = True
    return settings
