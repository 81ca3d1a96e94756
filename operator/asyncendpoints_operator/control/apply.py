"""Makes the children of an endpoint what they should be, and nothing that is somebody else's."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from asyncendpoints_core.resource import API_VERSION, KIND
from asyncendpoints_operator.control import drift
from asyncendpoints_operator.control.endpoint_state import Applied
from asyncendpoints_operator.desired.naming import is_ours
from asyncendpoints_operator.desired.objects import CHILD_KINDS, identity
from asyncendpoints_operator.kube.cache import address_of
from asyncendpoints_operator.kube.client import Ref, Refused
from asyncendpoints_operator.status.observed import Refusal, RefusalReason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from asyncendpoints_core.resource import AsyncEndpoint
    from asyncendpoints_operator.control.endpoint_state import Unit
    from asyncendpoints_operator.desired.naming import Manifest
    from asyncendpoints_operator.kube.cache import Cache
    from asyncendpoints_operator.kube.client import Cluster

log = logging.getLogger("asyncendpoints.operator")

LOOP_TIMES: Final = 5
LOOP_SECONDS: Final = 60.0
"""A child that had to be put right that often in that time is fought over: leave it alone a while.
"""
_SHOWN_STATUS: Final = (400, 403, 404, 409, 413, 422)
"""Refusals that say something about the child; other answers of the API server pass."""


class OwnerGone(Exception):
    """The endpoint is not there any more under the UID it had: make nothing for it."""


class Children:
    """Applies and deletes children. `check` raises when this process may not write any more."""

    def __init__(self, cluster: Cluster, cache: Cache, check: Callable[[], object]) -> None:
        self._cluster, self._cache = cluster, cache
        self._check = check
        self.applies = 0

    async def apply(self, unit: Unit, wanted: Iterable[Manifest]) -> tuple[Refusal, ...]:
        """Make every wanted child; returns those that could not be.

        Raises OwnerGone, Unreachable, and Refused for what is no fault of the child.
        """
        refusals = []
        checked = False
        for manifest in wanted:
            live = self._cache.get(*address_of(manifest))
            if live is None and not checked:
                await self.check_owner(unit)
                checked = True
            refusal = await self._one(unit, drift.sealed(manifest), live)
            if refusal is not None:
                refusals.append(refusal)
        return tuple(refusals)

    async def check_owner(self, unit: Unit) -> None:
        """Ask the API server whether the endpoint is there, under its UID; raises OwnerGone.

        The cache may hold one whose deletion was never told (docs/rules.md K14).
        """
        namespace, _, name = unit.key.partition("/")
        try:
            found = await self._cluster.get(Ref(API_VERSION, KIND, namespace, name))
        except Refused as error:
            if error.missing:
                raise OwnerGone(unit.key) from None
            raise
        self._cache.put(found)
        if found["metadata"]["uid"] != unit.uid or "deletionTimestamp" in found["metadata"]:
            raise OwnerGone(unit.key)

    async def _one(
        self, unit: Unit, wanted: Manifest, live: Mapping[str, Any] | None
    ) -> Refusal | None:
        if live is None:
            live = await self._find(wanted)
        if live is not None and unit.endpoint is not None and not is_ours(live, unit.endpoint):
            return _refusal(
                wanted, RefusalReason.NAME_CONFLICT, "an object of this name belongs to another"
            )
        applied = unit.applied.get(identity(wanted))
        if applied is not None and applied.wanted != drift.was_applied(wanted):
            applied = None
        accepted = applied.fingerprint if applied is not None else None
        if live is not None and drift.in_sync(live, wanted, accepted):
            return None
        repair = live is not None and drift.was_applied(live) == drift.was_applied(wanted)
        if repair and applied is not None and _is_fought_over(applied):
            text = "something changes it back again and again; it is left alone for a minute"
            return _refusal(wanted, RefusalReason.DRIFT_LOOP, text)
        return await self._write(unit, wanted, live, applied, repair=repair)

    async def _find(self, wanted: Manifest) -> Manifest | None:
        """Look for an object that the cache does not have: a stranger, or one just made."""
        try:
            found = await self._cluster.get(Ref.of(wanted))
        except Refused as error:
            if error.missing:
                return None
            raise
        return {**found, "apiVersion": wanted["apiVersion"], "kind": wanted["kind"]}

    async def _write(
        self,
        unit: Unit,
        wanted: Manifest,
        live: Mapping[str, Any] | None,
        applied: Applied | None,
        *,
        repair: bool,
    ) -> Refusal | None:
        if live is not None and wanted["kind"] == "Deployment":
            # Its replicas are ours too: never write over a step that was made meanwhile.
            wanted["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
        self._check()
        try:
            made = await self._cluster.apply(wanted)
        except Refused as error:
            if error.conflict and error.reason == "Conflict":
                raise  # read anew and done again
            if error.status not in _SHOWN_STATUS:
                raise
            return _refusal(wanted, RefusalReason.REFUSED, str(error))
        self.applies += 1
        log.info("%s: applied %s %s", unit.key, *identity(wanted), extra={"repair": repair})
        times = applied.times[-LOOP_TIMES:] if applied is not None else []
        unit.applied[identity(wanted)] = Applied(
            drift.was_applied(wanted),
            drift.fingerprint(made, wanted),
            [*times, time.monotonic()] if repair else times,
        )
        self._cache.put(made)
        return None

    async def remove(self, unit: Unit, obsolete: Iterable[Mapping[str, Any]]) -> None:
        """Delete children that are not wanted any more, exactly those that were seen."""
        versions = {kind.kind: kind.api_version for kind in CHILD_KINDS}
        for child in obsolete:
            self._check()
            ref = Ref(versions[child["kind"]], child["kind"], *address_of(child)[1:])
            await self._cluster.delete(ref, uid=child["metadata"]["uid"])
            log.info("%s: deleted %s %s", unit.key, child["kind"], child["metadata"]["name"])
            unit.applied.pop(identity(child), None)
            self._cache.remove(child)


def _is_fought_over(applied: Applied) -> bool:
    now = time.monotonic()
    return sum(now - at < LOOP_SECONDS for at in applied.times) >= LOOP_TIMES


def _refusal(manifest: Manifest, reason: RefusalReason, message: str) -> Refusal:
    return Refusal(manifest["kind"], manifest["metadata"]["name"], reason, message)


def gateway_and_worker(
    cache: Cache, endpoint: AsyncEndpoint
) -> tuple[Manifest | None, Manifest | None]:
    """Return the two Deployments as they are."""
    namespace = endpoint.metadata.namespace
    return (
        cache.get("Deployment", namespace, f"{endpoint.name}-gateway"),
        cache.get("Deployment", namespace, f"{endpoint.name}-worker"),
    )
