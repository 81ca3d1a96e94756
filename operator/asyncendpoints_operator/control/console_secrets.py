"""The Secrets with the tokens of an endpoint's console, which gateway pods mount.

The operator may create and delete Secrets but not read them. Their names have no part of the UID,
so that a Role can grant one; which of them are its own it knows by their UIDs, which the
gateway's Deployment and the status of the resource keep. One that it did not make is left alone,
and that token is off.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from asyncendpoints_console.access import new_token
from asyncendpoints_core.common.console import ROLES, secret_name
from asyncendpoints_core.resource import AsyncEndpoint
from asyncendpoints_operator.control.failures import Failures, Step
from asyncendpoints_operator.desired.gateway import console_uids
from asyncendpoints_operator.desired.objects import console_secret
from asyncendpoints_operator.kube.client import Cluster, Ref, Refused
from asyncendpoints_operator.status.observed import RefusalReason

log = logging.getLogger("asyncendpoints.operator")

CHECK_SECONDS: Final = 1_800.0
"""How often Secrets are looked for that somebody may have deleted, to have a new token made."""


@dataclass(frozen=True, slots=True)
class _Made:
    """The UIDs of an endpoint's Secrets by role, and when they were last looked for (s)."""

    uids: Mapping[str, str]
    checked: float


class ConsoleSecrets:
    """Makes the Secrets, and knows which there are."""

    def __init__(
        self,
        cluster: Cluster,
        failures: Failures,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster, self._failures, self._monotonic = cluster, failures, monotonic
        self._made: dict[str, _Made] = {}  # by the endpoint's UID

    def forget(self, uid: str) -> None:
        """Drop what was remembered of an endpoint's Secrets."""
        self._made.pop(uid, None)

    def uids(self, uid: str) -> Mapping[str, str]:
        """Return the UIDs of an endpoint's Secrets by role."""
        made = self._made.get(uid)
        return made.uids if made else {}

    async def ensure(self, endpoint: AsyncEndpoint, before: Mapping[str, str]) -> None:
        """Make the Secrets that are missing, or remove them if the console is off.

        `before` has the UIDs of those that another operator made, by role.
        """
        uid, now = endpoint.metadata.uid, self._monotonic()
        made = self._made.get(uid)
        known = made.uids if made else before
        found = {role: known.get(role) for role in ROLES}
        checked = made.checked if made else -math.inf
        look = now - checked >= CHECK_SECONDS
        try:
            for role in ROLES:
                found[role] = await self._settle(endpoint, role, found.get(role), look=look)
            checked = now if look else checked
        finally:  # what was made before a failure is the operator's own all the same
            present = {role: one for role, one in found.items() if one}
            self._made[uid] = _Made(present, checked)

    async def _settle(
        self, endpoint: AsyncEndpoint, role: str, known: str | None, *, look: bool
    ) -> str | None:
        """Make or remove the Secret of a role; return its UID, None if there is none."""
        step = Step("make", "Secret", secret_name(endpoint.name, role))
        if not self._failures.due(endpoint.metadata.uid, step):
            return known
        present: str | None = None
        try:
            if endpoint.spec.gateway.console.enabled:
                present = await self._ensure(endpoint, role, known, look=look)
            elif known:
                await self._delete(endpoint, role, known)
        except Refused as error:
            self._refused(endpoint, step, error)
            return None if error.conflict else known
        self._failures.clear(endpoint.key, endpoint.metadata.uid, step)
        return present

    async def _ensure(
        self, endpoint: AsyncEndpoint, role: str, known: str | None, *, look: bool
    ) -> str:
        """Return the UID of a role's Secret, which is made if it does not exist."""
        manifest = console_secret(endpoint, role, new_token())
        if known and (not look or await self._cluster.has(Ref.of(manifest), known)):
            return known
        made = await self._cluster.create(manifest)
        log.info("%s: made Secret %s", endpoint.key, manifest["metadata"]["name"])
        return str(made["metadata"]["uid"])

    async def _delete(self, endpoint: AsyncEndpoint, role: str, uid: str) -> None:
        """Delete a role's Secret, unless it is another one by now."""
        name = secret_name(endpoint.name, role)
        try:
            await self._cluster.delete(
                Ref("v1", "Secret", endpoint.metadata.namespace, name), uid=uid
            )
        except Refused as error:
            if not error.conflict:  # another one of that name
                raise

    def _refused(self, endpoint: AsyncEndpoint, step: Step, error: Refused) -> None:
        text = str(error)
        if error.conflict:
            text = (
                "a Secret of this name exists that the operator does not know as its own: it is "
                "left alone, and that token of the console is off. Delete it to have it made again"
            )
        key, uid, lasting = endpoint.key, endpoint.metadata.uid, error.status < 500
        self._failures.record(key, uid, step, RefusalReason.CONSOLE, text, lasting=lasting)


def secrets_before(
    manifest: Mapping[str, Any], gateway: Mapping[str, Any] | None
) -> dict[str, str]:
    """Return the UIDs of the Secrets by role, from the status and the gateway's Deployment: that
    may have been deleted, or its annotations replaced, while no operator was there.
    """
    status = manifest.get("status") or {}
    return {**(status.get("consoleSecrets") or {}), **console_uids(gateway)}
