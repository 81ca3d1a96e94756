"""Which operator serves a resource: one of its class, noted in `status.operator` and held while its
Lease is renewed (ADR 11).
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from asyncendpoints_core.resource import API_VERSION, KIND
from asyncendpoints_operator.desired.naming import Manifest
from asyncendpoints_operator.kube.cache import Cache, key_of
from asyncendpoints_operator.kube.client import Cluster, Ref, Refused
from asyncendpoints_operator.status.event_publisher import EventPublisher
from asyncendpoints_operator.status.events import Event

log = logging.getLogger("asyncendpoints.operator")

GONE_SECONDS: Final = 60.0
"""An operator whose Lease was not renewed for that long has let go of its resources."""
CHECK_SECONDS: Final = 15.0
"""How often it is checked whether the other operator is still there."""
_READ_SECONDS: Final = 5.0
LEFT_SECONDS: Final = 30.0
"""How long an operator that serves nothing leaves what nobody serves to others of its class."""
_TURN_SECONDS: Final = 0.5
REPORT_SECONDS: Final = 5.0
"""How long another operator has to serve a resource of this one's class to be reported: after a
change of its class, the other lets go of it within a second."""


class ServedBy:
    """Claims the resources of a class for this operator, named `own`: the namespace and name of
    its Lease.

    `others` has the keys of resources that another operator serves, with its name.
    """

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        own: str,
        class_name: str | None,
        publisher: EventPublisher,
    ) -> None:
        self._cluster, self._cache = cluster, cache
        self._own, self._class_name = own, class_name
        self._publisher = publisher
        self._leases: dict[str, _Lease] = {}
        self.others: dict[str, str] = {}
        self._since: dict[str, float] = {}  # of `others` that were not reported yet
        self._left: dict[str, float] = {}  # since when others may claim what nobody serves
        self._unnoted: set[str] = set()  # UIDs of what is served, and cannot say so

    async def serve(self, key: str) -> Manifest | float | None:
        """Return a resource that this operator serves, after it claimed it if nobody served it.

        Otherwise return when to try again (s), None if it is gone or not of this class (any more).
        Raises Refused, if another writer changed the resource meanwhile, and Unreachable.
        """
        manifest = self._cache.endpoint(key)
        if manifest is None:
            self._drop(key)
        elif _class_of(manifest) != self._class_name:
            self._drop(key)
            if operator_of(manifest) == self._own:
                await self._write(manifest, None)
        else:
            delay = await self._claim(manifest)
            return self._cache.endpoint(key) if delay is None else delay
        return None

    async def _claim(self, manifest: Manifest) -> float | None:
        """Claim a resource that nobody serves; return None if this operator serves it now, and
        otherwise when to try again (s).
        """
        key, holder = key_of(manifest), operator_of(manifest)
        if holder not in ("", self._own) and await self._is_alive(holder):
            self._left.pop(key, None)
            self._report(key, manifest, holder)
            return CHECK_SECONDS
        uid = manifest["metadata"]["uid"]
        served = holder == self._own or (holder == "" and uid in self._unnoted)
        if not served and (delay := await self._leave(key)):
            return delay
        self._drop(key)
        if holder == self._own:
            return None
        try:
            await self._write(manifest, self._own)
        except Refused as error:
            if error.outdated:
                raise
            log.debug("%s: its operator cannot be noted: %s", key, error)
            self._unnoted.add(uid)
        else:
            self._unnoted.discard(uid)
        if holder:
            log.info("%s: taken over from operator %s", key, holder)
        return None

    async def _leave(self, key: str) -> float:
        """Return how long (s) to leave a resource that nobody serves to others, 0 to claim it.

        An operator that serves nothing leaves it to one that serves others of the class. If there
        is none, it begins with the first by name. So of several that see the same resources one
        serves all, also if they start, or notice that an operator is gone, at the same moment.
        """
        first, served = key, False
        for other in map(self._cache.endpoint, self._cache.endpoints()):
            if other is None or _class_of(other) != self._class_name:
                continue
            holder = operator_of(other)
            if holder == self._own:
                return 0.0
            if holder and await self._is_alive(holder):
                served = True
            else:
                first = min(first, key_of(other))
        now = time.monotonic()
        left = LEFT_SECONDS - (now - self._left.setdefault(key, now))
        if left <= 0 or (first == key and not served):
            return 0.0
        return min(left, CHECK_SECONDS if served else _TURN_SECONDS)

    def _drop(self, key: str) -> None:
        """Drop what was remembered of a resource that no other operator serves."""
        for known in (self.others, self._since, self._left):
            known.pop(key, None)

    async def _write(self, manifest: Manifest, operator: str | None) -> None:
        meta = manifest["metadata"]
        patch = {
            "metadata": {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]},
            "status": {"operator": operator},
        }
        ref = Ref(API_VERSION, KIND, meta["namespace"], meta["name"])
        self._cache.put(await self._cluster.merge(ref, patch, subresource="status"))

    def _report(self, key: str, manifest: Manifest, holder: str) -> None:
        now = time.monotonic()
        if self.others.get(key) != holder:
            self.others[key], self._since[key] = holder, now
        if now - self._since.get(key, now) < REPORT_SECONDS:
            return
        del self._since[key]
        text = (
            f"operator {holder} serves it, and operator {self._own} has the same class: give one "
            f"of them another class or other namespaces{self._doubt(manifest, holder)}"
        )
        log.warning("%s: %s", key, text)
        event = Event("Warning", "ServedByAnother", text)
        self._publisher.publish(key, manifest["metadata"]["uid"], [event])

    def _doubt(self, manifest: Manifest, holder: str) -> str:
        """Return what to do if the other operator is gone, where that cannot be seen."""
        known = self._leases.get(holder)
        if known is None or known.readable:
            return ""
        name, namespace = manifest["metadata"]["name"], manifest["metadata"]["namespace"]
        return (
            ". Its Lease cannot be read, so it counts as running; if it is gone: kubectl patch aep "
            f"{name} -n {namespace} --subresource=status --type=merge "
            """-p '{"status":{"operator":null}}'"""
        )

    async def _is_alive(self, holder: str) -> bool:
        """Whether an operator renews its Lease; one whose Lease may not be read counts as alive."""
        now = time.monotonic()
        known = self._leases.get(holder)
        if known is not None and now - known.read_at < _READ_SECONDS:
            return known.alive
        namespace, _, name = holder.partition("/")
        version, readable = "", True
        try:
            lease = await self._cluster.get(Ref("coordination.k8s.io/v1", "Lease", namespace, name))
            version = str(lease["metadata"]["resourceVersion"])
            since = known.since if known is not None and known.version == version else now
            alive = now - since < GONE_SECONDS
        except Refused as error:
            since, alive, readable = now, not error.missing, error.missing
        self._leases[holder] = _Lease(version, since, now, alive, readable)
        return alive


@dataclass(frozen=True, slots=True)
class _Lease:
    """Another operator's Lease: its version, since when, and when it was read (s, monotonic)."""

    version: str
    since: float
    read_at: float
    alive: bool
    readable: bool


def operator_of(manifest: Mapping[str, Any]) -> str:
    """Return the operator that serves a resource, "" if none does."""
    return str((manifest.get("status") or {}).get("operator") or "")


def _class_of(manifest: Mapping[str, Any]) -> str | None:
    name: str | None = (manifest.get("spec") or {}).get("className")
    return name
