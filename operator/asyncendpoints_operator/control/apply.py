"""Applies and deletes the children of an endpoint, and leaves objects of other owners alone."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from asyncendpoints_core.resource import API_VERSION, KIND, AsyncEndpoint
from asyncendpoints_operator.control import drift
from asyncendpoints_operator.desired.naming import Manifest, is_ours
from asyncendpoints_operator.desired.objects import CHILD_KINDS, identity
from asyncendpoints_operator.kube.cache import Cache, address_of
from asyncendpoints_operator.kube.client import Cluster, Ref, Refused
from asyncendpoints_operator.status.observed import Refusal, RefusalReason

log = logging.getLogger("asyncendpoints.operator")

MAX_CORRECTIONS: Final = 5
CORRECTION_SECONDS: Final = 60.0
"""A child corrected that often in that time has a conflicting writer: it is left alone a while."""
_SHOWN_STATUS: Final = (400, 403, 404, 409, 413, 422)
"""Refusals that are about the child; other answers of the API server pass."""


class OwnerGone(Exception):
    """The endpoint does not exist any more under its UID: make nothing for it."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A child as last applied: the hash of what was wanted, and what the API server made of it.

    `corrections` are the times (s, monotonic) at which it was applied again without a change.
    """

    wanted: str
    fingerprint: str
    corrections: tuple[float, ...] = ()


class Children:
    """Applies and deletes children. `check` raises when this process may not write any more."""

    def __init__(self, cluster: Cluster, cache: Cache, check: Callable[[], object]) -> None:
        self._cluster, self._cache = cluster, cache
        self._check = check
        # By the endpoint's UID, then by kind and name.
        self._applied: dict[str, dict[tuple[str, str], Applied]] = {}
        self.applies = 0

    def forget(self, uid: str) -> None:
        """Drop what was remembered of an endpoint's children."""
        self._applied.pop(uid, None)

    async def apply(
        self, endpoint: AsyncEndpoint, wanted: Iterable[Manifest]
    ) -> tuple[Refusal, ...]:
        """Apply every child that differs; returns those that could not be applied.

        Raises OwnerGone, Unreachable, and Refused for what is not the child's fault.
        """
        refusals = []
        checked = False
        for manifest in wanted:
            live = self._cache.get(*address_of(manifest))
            if live is None and not checked:
                await self._check_owner(endpoint)
                checked = True
            refusal = await self._apply_one(endpoint, drift.sealed(manifest), live)
            if refusal is not None:
                refusals.append(refusal)
        return tuple(refusals)

    async def _check_owner(self, endpoint: AsyncEndpoint) -> None:
        """Read the endpoint from the API server: the cache may have missed its deletion (K14)."""
        meta = endpoint.metadata
        try:
            found = await self._cluster.get(Ref(API_VERSION, KIND, meta.namespace, meta.name))
        except Refused as error:
            if error.missing:
                raise OwnerGone(endpoint.key) from None
            raise
        self._cache.put(found)
        if found["metadata"]["uid"] != meta.uid or "deletionTimestamp" in found["metadata"]:
            raise OwnerGone(endpoint.key)

    async def _apply_one(
        self, endpoint: AsyncEndpoint, wanted: Manifest, live: Mapping[str, Any] | None
    ) -> Refusal | None:
        if live is None:
            live = await self._find(wanted)
        if live is not None and not is_ours(live, endpoint):
            text = "an object of this name exists and belongs to another owner"
            return _refusal(wanted, RefusalReason.NAME_CONFLICT, text)
        applied = self._applied.get(endpoint.metadata.uid, {}).get(identity(wanted))
        if applied is not None and applied.wanted != drift.applied_hash(wanted):
            applied = None
        accepted = applied.fingerprint if applied is not None else None
        if live is not None and drift.in_sync(live, wanted, accepted):
            return None
        correction = live is not None and drift.applied_hash(live) == drift.applied_hash(wanted)
        if correction and applied is not None and _has_conflicting_writer(applied):
            text = "another writer changes it back each time; it is left alone for a minute"
            return _refusal(wanted, RefusalReason.DRIFT_LOOP, text)
        return await self._write(endpoint, wanted, live, applied, correction=correction)

    async def _find(self, wanted: Manifest) -> Manifest | None:
        """Read an object that is not in the cache: another owner's, or one that is new."""
        try:
            found = await self._cluster.get(Ref.of(wanted))
        except Refused as error:
            if error.missing:
                return None
            raise
        return {**found, "apiVersion": wanted["apiVersion"], "kind": wanted["kind"]}

    async def _write(
        self,
        endpoint: AsyncEndpoint,
        wanted: Manifest,
        live: Mapping[str, Any] | None,
        applied: Applied | None,
        *,
        correction: bool,
    ) -> Refusal | None:
        if live is not None and wanted["kind"] == "Deployment":
            # It carries replicas: never overwrite a scaling step made meanwhile (K16).
            wanted["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
        self._check()
        try:
            made = await self._cluster.apply(wanted)
        except Refused as error:
            if error.conflict and error.reason == "Conflict":
                raise  # read and reconciled again
            if error.status not in _SHOWN_STATUS:
                raise
            return _refusal(wanted, RefusalReason.REFUSED, str(error))
        self.applies += 1
        extra = {"correction": correction}
        log.info("%s: applied %s %s", endpoint.key, *identity(wanted), extra=extra)
        corrections = applied.corrections[-MAX_CORRECTIONS:] if applied is not None else ()
        self._applied.setdefault(endpoint.metadata.uid, {})[identity(wanted)] = Applied(
            drift.applied_hash(wanted),
            drift.fingerprint(made, wanted),
            (*corrections, time.monotonic()) if correction else corrections,
        )
        self._cache.put(made)
        return None

    async def remove(self, endpoint: AsyncEndpoint, obsolete: Iterable[Mapping[str, Any]]) -> None:
        """Delete children that are not wanted any more, by the UIDs that were seen."""
        versions = {kind.kind: kind.api_version for kind in CHILD_KINDS}
        for child in obsolete:
            self._check()
            ref = Ref(versions[child["kind"]], child["kind"], *address_of(child)[1:])
            await self._cluster.delete(ref, uid=child["metadata"]["uid"])
            log.info("%s: deleted %s %s", endpoint.key, *identity(child))
            self._applied.get(endpoint.metadata.uid, {}).pop(identity(child), None)
            self._cache.remove(child)


def _has_conflicting_writer(applied: Applied) -> bool:
    now = time.monotonic()
    recent = sum(now - at < CORRECTION_SECONDS for at in applied.corrections)
    return recent >= MAX_CORRECTIONS


def _refusal(manifest: Manifest, reason: RefusalReason, message: str) -> Refusal:
    return Refusal(manifest["kind"], manifest["metadata"]["name"], reason, message)
