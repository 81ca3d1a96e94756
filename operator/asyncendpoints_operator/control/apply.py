"""Applies and deletes the children of an endpoint, and leaves objects of other owners alone."""

import contextlib
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from asyncendpoints_core.resource import API_VERSION, KIND, AsyncEndpoint
from asyncendpoints_operator.control import drift
from asyncendpoints_operator.control.failures import Failures, Step
from asyncendpoints_operator.desired.gateway import FIRST_REPLICAS
from asyncendpoints_operator.desired.naming import (
    CHILD_KINDS,
    Manifest,
    belongs_to_predecessor,
    is_orphan,
    is_ours,
)
from asyncendpoints_operator.desired.objects import identity
from asyncendpoints_operator.kube.cache import Cache, address_of
from asyncendpoints_operator.kube.client import Cluster, Ref, Refused
from asyncendpoints_operator.status.observed import RefusalReason

log = logging.getLogger("asyncendpoints.operator")

MAX_WRITES: Final = 8
"""Times of writes that are remembered."""
_LASTING_STATUS: Final = (400, 403, 404, 409, 413, 422)
"""Refusals that are about the child; other answers of the API server may pass soon."""
_APPLY: Final = "apply"
_DELETE: Final = "delete"
_UNPROCESSABLE: Final = 422
_NO_KIND: Final = ("404 page not found", "could not find the requested resource")
"""What the API server answers where a kind, or its group, is not installed."""


class OwnerGone(Exception):
    """The endpoint does not exist any more under its UID: make nothing for it."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A child as last applied: the hash of what was wanted, and what the API server made of it.

    `writes` are the times (s, monotonic) at which it was applied for `generation` of the resource.
    """

    wanted: str = ""
    fingerprint: str = ""
    generation: int = 0
    writes: tuple[float, ...] = ()

    def has_conflicting_writer(self, generation: int) -> bool:
        """Whether it was written so often that another writer must be changing it back."""
        return self.generation == generation and drift.is_loop(self.writes, time.monotonic())


class Children:
    """Applies and deletes children. What the API server refuses is recorded in `failures`, and the
    other children are applied.
    """

    def __init__(self, cluster: Cluster, cache: Cache, failures: Failures) -> None:
        self._cluster, self._cache, self._failures = cluster, cache, failures
        # By the endpoint's UID, then by kind and name.
        self._applied: dict[str, dict[tuple[str, str], Applied]] = {}
        self.applies = 0

    def forget(self, uid: str) -> None:
        """Drop what was remembered of an endpoint's children."""
        self._applied.pop(uid, None)

    async def apply(self, endpoint: AsyncEndpoint, wanted: Iterable[Manifest]) -> None:
        """Apply every child that differs. Raises OwnerGone, Unreachable."""
        checked = False
        for manifest in wanted:
            live = self._cache.get(*address_of(manifest))
            try:
                if live is None and self._lacks_account(endpoint, manifest):
                    continue
                # One without an owner may be what `--cascade=orphan` has just released.
                if (live is None or is_orphan(live, endpoint)) and not checked:
                    await self._check_owner(endpoint)
                    checked = True
                await self._apply_one(endpoint, drift.sealed(manifest), live)
            except Refused as error:
                await self._refused(endpoint, manifest, error)

    def _lacks_account(self, endpoint: AsyncEndpoint, wanted: Manifest) -> bool:
        """Whether the ServiceAccount of a Deployment's pods was refused and does not exist.

        Kubernetes would refuse the pods, and wait longer after each attempt: also afterwards.
        """
        if wanted["kind"] != "Deployment":
            return False
        account = wanted["spec"]["template"]["spec"]["serviceAccountName"]
        step = Step(_APPLY, "ServiceAccount", account)
        refusal = self._failures.last(endpoint.metadata.uid, step)
        if refusal is None or refusal.reason is not RefusalReason.REFUSED:
            return False
        return self._cache.get("ServiceAccount", endpoint.metadata.namespace, account) is None

    async def _refused(self, endpoint: AsyncEndpoint, manifest: Manifest, error: Refused) -> None:
        stale = error.conflict and error.reason == "Conflict"
        lasting = error.status in _LASTING_STATUS and not stale
        text = str(error)
        if error.missing and any(answer in text for answer in _NO_KIND):
            text = f"the cluster does not have {manifest['apiVersion']} {manifest['kind']}: {text}"
        self._record(endpoint, manifest, RefusalReason.REFUSED, text, lasting=lasting)
        if stale:  # another writer changed it meanwhile: read it, and try again soon
            await self._read_again(manifest)

    def _record(
        self,
        endpoint: AsyncEndpoint,
        manifest: Mapping[str, Any],
        reason: RefusalReason,
        text: str,
        *,
        action: str = _APPLY,
        lasting: bool = True,
    ) -> None:
        step, uid = Step(action, *identity(manifest)), endpoint.metadata.uid
        self._failures.record(endpoint.key, uid, step, reason, text, lasting=lasting)

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
    ) -> None:
        if live is None:
            live = await self._find(wanted)
        if live is not None and not (is_ours(live, endpoint) or is_orphan(live, endpoint)):
            text = "an object of this name exists and belongs to another owner"
            # Its garbage is collected in a moment, and its deletion creates this one again.
            lasting = not belongs_to_predecessor(live, endpoint)
            self._record(endpoint, wanted, RefusalReason.NAME_CONFLICT, text, lasting=lasting)
            return
        if live is not None and "deletionTimestamp" in live["metadata"]:
            self._record_terminating(endpoint, live, _APPLY)
            return
        applied = self._applied.get(endpoint.metadata.uid, {}).get(identity(wanted), Applied())
        current = applied.wanted == drift.applied_hash(wanted)
        accepted = applied.fingerprint if current else None
        if live is None or not drift.in_sync(live, wanted, accepted):
            if live is not None and applied.has_conflicting_writer(endpoint.metadata.generation):
                text = await self._describe_writers(wanted)
                self._record(endpoint, wanted, RefusalReason.DRIFT_LOOP, text)
                return
            await self._write(endpoint, wanted, live, applied)
        step = Step(_APPLY, *identity(wanted))
        self._failures.clear(endpoint.key, endpoint.metadata.uid, step)

    def _record_terminating(
        self, endpoint: AsyncEndpoint, child: Mapping[str, Any], action: str
    ) -> None:
        names = ", ".join(child["metadata"].get("finalizers") or ())
        text = f"it was deleted, and waits for its finalizers: {names}"
        reason = RefusalReason.TERMINATING
        self._record(endpoint, child, reason, text, action=action, lasting=False)

    async def _find(self, wanted: Manifest) -> Manifest | None:
        """Read an object that is not in the cache: another owner's, or one that is new."""
        try:
            return await self._cluster.get(Ref.of(wanted))
        except Refused as error:
            if error.missing:
                return None
            raise

    async def _read_again(self, manifest: Manifest) -> None:
        """Make the cache what the API server has of a child now."""
        known, found = self._cache.get(*address_of(manifest)), None
        with contextlib.suppress(Refused):
            found = await self._find(manifest)
        if found is not None:
            self._cache.put(found)
        elif known is not None:
            self._cache.remove(known)

    async def _describe_writers(self, manifest: Manifest) -> str:
        """Say that a child has a conflicting writer, with the name of its field manager."""
        found = None
        with contextlib.suppress(Refused):
            found = await self._find(manifest)  # the cache has no managedFields
        return f"{drift.describe_writer(found or {})}; it is left alone for a while"

    async def _write(
        self,
        endpoint: AsyncEndpoint,
        wanted: Manifest,
        live: Mapping[str, Any] | None,
        applied: Applied,
    ) -> None:
        if wanted["kind"] == "Deployment":
            replicas = live["spec"].get("replicas", 1) if live is not None else FIRST_REPLICAS
            wanted["spec"].setdefault("replicas", replicas)
            if live is not None:
                # It carries replicas: never overwrite a scaling step made meanwhile (K16).
                wanted["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
        made = await self._apply_or_replace(wanted, live)
        self.applies += 1
        correction = live is not None and drift.applied_hash(live) == drift.applied_hash(wanted)
        extra = {"correction": correction}
        log.info("%s: applied %s %s", endpoint.key, *identity(wanted), extra=extra)
        generation = endpoint.metadata.generation
        earlier = applied.writes if applied.generation == generation else ()
        self._applied.setdefault(endpoint.metadata.uid, {})[identity(wanted)] = Applied(
            drift.applied_hash(wanted),
            drift.fingerprint(made, wanted),
            generation,
            (*earlier[-MAX_WRITES:], time.monotonic()),
        )
        self._cache.put(made)

    async def _apply_or_replace(self, wanted: Manifest, live: Mapping[str, Any] | None) -> Manifest:
        """Apply a child; an immutable one with other content is deleted and created."""
        try:
            return await self._cluster.apply(wanted)
        except Refused as error:
            if live is None or not live.get("immutable") or error.status != _UNPROCESSABLE:
                raise
            await self._cluster.delete(Ref.of(wanted), uid=live["metadata"]["uid"])
            return await self._cluster.apply(wanted)

    async def remove(self, endpoint: AsyncEndpoint, obsolete: Iterable[Mapping[str, Any]]) -> None:
        """Delete children that are not wanted any more, by the UIDs that were seen."""
        versions = {kind.kind: kind.api_version for kind in CHILD_KINDS}
        for child in obsolete:
            if "deletionTimestamp" in child["metadata"]:
                self._record_terminating(endpoint, child, _DELETE)
                continue
            ref = Ref(versions[child["kind"]], child["kind"], *address_of(child)[1:])
            try:
                kept = await self._cluster.delete(ref, uid=child["metadata"]["uid"])
            except Refused as error:
                reason = RefusalReason.REFUSED
                self._record(endpoint, child, reason, str(error), action=_DELETE, lasting=False)
                continue
            log.info("%s: deleted %s %s", endpoint.key, *identity(child))
            self._applied.get(endpoint.metadata.uid, {}).pop(identity(child), None)
            if kept is None:
                self._cache.remove(child)
            else:
                self._cache.put(kept)

    def settle(
        self,
        endpoint: AsyncEndpoint,
        wanted: Iterable[Mapping[str, Any]],
        obsolete: Iterable[Mapping[str, Any]],
    ) -> None:
        """Drop the failures of children that are neither wanted nor obsolete any more."""
        for action, children in ((_APPLY, wanted), (_DELETE, obsolete)):
            steps = {Step(action, *identity(child)) for child in children}
            self._failures.keep(endpoint.key, endpoint.metadata.uid, action, steps)
