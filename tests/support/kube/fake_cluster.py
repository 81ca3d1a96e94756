"""A Kubernetes API in memory, with the interface of the operator's Cluster, and its watch.

It has objects, UIDs, resource versions and preconditions, but no controllers: a Deployment has the
pods that a test puts there.
"""

import asyncio
import copy
import itertools
from collections.abc import Callable, Mapping
from typing import Any

from asyncendpoints_core.resource import API_VERSION, KIND
from asyncendpoints_operator.desired.naming import FIELD_MANAGER
from asyncendpoints_operator.kube.client import Cluster, Ref, Refused
from support.resources import merge

Manifest = dict[str, Any]


class FakeCluster(Cluster):
    """Every change is passed to `put` or `remove`, like by a watch; `until` awaits it."""

    def __init__(self) -> None:
        self.requests = 0
        self.guard: Callable[[], object] = lambda: None
        self.objects: dict[str, Manifest] = {}
        self.events: list[Manifest] = []
        self.refusals: dict[str, Refused] = {}
        """What is answered to writes of a kind instead of performing them."""
        self.read_errors: dict[str, Refused] = {}
        """What is answered to a read of a kind."""
        self.unreadable: set[str] = set()
        """Kinds that the operator's Role does not allow to read."""
        self.max_replicas = 1_000
        """A policy: Deployments with more replicas are refused."""
        self.may_apply = asyncio.Event()
        """While it is not set, applies wait."""
        self.may_apply.set()
        self.put: Callable[[Manifest], None] = lambda _: None
        self.remove: Callable[[Manifest], None] = lambda _: None
        self._numbers = itertools.count(1)
        self._changed = asyncio.Event()

    def endpoint(self, name: str = "reports") -> Manifest:
        """Return the AsyncEndpoint of a name in namespace demo."""
        return self.objects[Ref(API_VERSION, KIND, "demo", name).path]

    def find(self, kind: str, name: str) -> Manifest | None:
        """Return an object of a kind in namespace demo."""
        for found in self.objects.values():
            if found["kind"] == kind and found["metadata"]["name"] == name:
                return found
        return None

    async def until(self, good: Callable[[], Any], seconds: float = 30) -> None:
        """Wait for a change after which `good()` is true."""
        async with asyncio.timeout(seconds):
            while not good():
                self._changed.clear()
                await self._changed.wait()

    def save(self, manifest: Mapping[str, Any]) -> Manifest:
        """Store an object as a user or a controller does, and publish it."""
        ref = Ref.of(manifest)
        old = self.objects.get(ref.path)
        made: Manifest = copy.deepcopy(dict(manifest))
        meta = made["metadata"]
        meta["uid"] = old["metadata"]["uid"] if old else f"uid-{next(self._numbers)}"
        meta["resourceVersion"] = str(next(self._numbers))
        generation = old["metadata"]["generation"] if old else 0
        changed = old is None or old.get("spec") != made.get("spec")
        meta["generation"] = generation + 1 if changed else generation
        self.objects[ref.path] = made
        if old is not None and _is_watched(old) and not _is_watched(made):
            self.remove({**copy.deepcopy(old), "metadata": {**old["metadata"], **_version(made)}})
        else:
            self.put(copy.deepcopy(made))
        self._changed.set()
        return copy.deepcopy(made)

    def change(self, ref: Ref, change: Mapping[str, Any]) -> Manifest:
        """Merge a change into an object."""
        return self.save(merge(self.objects[ref.path], change))

    def drop(self, ref: Ref) -> None:
        """Delete an object, and publish that."""
        gone = self.objects.pop(ref.path)
        gone["metadata"]["resourceVersion"] = str(next(self._numbers))
        self.remove(copy.deepcopy(gone))
        self._changed.set()

    async def get(self, ref: Ref) -> Manifest:
        self.requests += 1
        if ref.kind in self.read_errors:
            raise self.read_errors[ref.kind]
        if ref.kind in self.unreadable:
            raise Refused(403, "Forbidden", f"{ref.kind} {ref.name} is forbidden")
        if ref.path not in self.objects:
            raise Refused(404, "NotFound", f"{ref.kind} {ref.name} not found")
        return copy.deepcopy(self.objects[ref.path])

    async def create(self, manifest: Manifest) -> Manifest:
        self._refuse(manifest["kind"])
        if manifest["kind"] == "Event":
            self.events.append(manifest)
            self._changed.set()
            return manifest
        if Ref.of(manifest).path in self.objects:
            raise Refused(409, "AlreadyExists", "the name is taken")
        return self.save(manifest)

    async def apply(self, manifest: Manifest) -> Manifest:
        await self.may_apply.wait()
        self._refuse(manifest["kind"])
        old = self.objects.get(Ref.of(manifest).path)
        self._check(old, manifest)
        return self.save(
            {**manifest, **({"status": old["status"]} if old and "status" in old else {})}
        )

    async def merge(self, ref: Ref, patch: Manifest, *, subresource: str = "") -> Manifest:
        self._refuse(ref.kind)
        if (patch.get("spec") or {}).get("replicas", 0) > self.max_replicas:
            raise Refused(422, "Invalid", f"replicas: at most {self.max_replicas}")
        old = await self.get(ref)
        self._check(old, patch)
        return self.save(merge(old, patch))

    async def delete(
        self, ref: Ref, *, uid: str | None, grace_seconds: int | None = None
    ) -> Manifest | None:
        self._refuse(ref.kind)
        old = self.objects.get(ref.path)
        if old is None or uid not in (None, old["metadata"]["uid"]):
            return None
        if old["metadata"].get("finalizers"):
            return self.change(ref, {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})
        self.drop(ref)
        return None

    async def has(self, ref: Ref, uid: str) -> bool:
        self._refuse(ref.kind)
        old = self.objects.get(ref.path)
        return old is not None and old["metadata"]["uid"] == uid

    def _refuse(self, kind: str) -> None:
        self.guard()
        self.requests += 1
        if kind in self.refusals:
            raise self.refusals[kind]

    @staticmethod
    def _check(old: Manifest | None, wanted: Mapping[str, Any]) -> None:
        for name in ("uid", "resourceVersion"):
            expected = wanted["metadata"].get(name)
            if expected is not None and (old is None or old["metadata"][name] != expected):
                raise Refused(409, "Conflict", f"{name} differs")


def _is_watched(manifest: Mapping[str, Any]) -> bool:
    """Whether the watch of its kind selects an object."""
    labels = manifest["metadata"].get("labels") or {}
    return manifest["kind"] == KIND or labels.get("app.kubernetes.io/managed-by") == FIELD_MANAGER


def _version(manifest: Mapping[str, Any]) -> dict[str, str]:
    return {"resourceVersion": manifest["metadata"]["resourceVersion"]}
