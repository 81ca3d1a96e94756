"""What the cluster last told: endpoints, their children and pods, in plain manifests.

Fed by watch events and by what our own writes answered, and replaced by full lists every few
minutes: after an expired watch, events of deletions are lost for ever, and a phantom endpoint's
children would be made and collected without end (docs/rules.md K14).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_core.resource import GROUP, KIND

if TYPE_CHECKING:
    from asyncendpoints_operator.desired.naming import Manifest

ENDPOINT_LABEL: Final = f"{GROUP}/endpoint"
_TOMBSTONE_SECONDS: Final = 600.0

Wake = Callable[[str], None]
Address = tuple[str, str, str]
"""Kind, namespace, name."""


def version_of(manifest: Mapping[str, Any]) -> int:
    """Return the resourceVersion as a number: later ones are larger (KEP-5504)."""
    text = str(manifest["metadata"].get("resourceVersion", "0"))
    return int(text) if text.isdecimal() else 0


def address_of(manifest: Mapping[str, Any]) -> Address:
    """Return an object's place in the cache."""
    meta = manifest["metadata"]
    return manifest["kind"], meta.get("namespace", ""), meta["name"]


def key_of(manifest: Mapping[str, Any]) -> str:
    """Return the key of the endpoint that an object is or belongs to; "" for a stranger."""
    meta = manifest["metadata"]
    namespace = meta.get("namespace", "")
    if manifest["kind"] == KIND:
        return f"{namespace}/{meta['name']}"
    name = (meta.get("labels") or {}).get(ENDPOINT_LABEL, "")
    return f"{namespace}/{name}" if name else ""


class Cache:
    """Objects by address, and by the endpoint they belong to. `wake` is told of each change."""

    def __init__(self, wake: Wake, clock: Callable[[], float] = time.monotonic) -> None:
        self._wake = wake
        self._clock = clock
        self._objects: dict[Address, Manifest] = {}
        self._of_key: dict[str, dict[Address, Manifest]] = {}
        self._gone: dict[str, float] = {}  # UIDs of objects that were deleted, by when
        self._touched: set[Address] = set()

    def put(self, manifest: Manifest) -> None:
        """Take in an object, unless what is known is newer or it is gone."""
        place = address_of(manifest)
        self._touched.add(place)
        meta = manifest["metadata"]
        known = self._objects.get(place)
        if meta.get("uid") in self._gone:
            return
        if known is not None and known["metadata"].get("uid") == meta.get("uid"):
            if version_of(known) >= version_of(manifest):
                return
        elif known is not None and version_of(known) > version_of(manifest):
            return  # an older object of the same name
        self._set(place, manifest)
        if known is None or not _only_status(known, manifest):
            self._wake_for(manifest)

    def remove(self, manifest: Mapping[str, Any]) -> None:
        """Take an object out; it does not come back under the same UID."""
        place = address_of(manifest)
        self._touched.add(place)
        uid = manifest["metadata"].get("uid", "")
        now = self._clock()
        self._gone = {u: at for u, at in self._gone.items() if now - at < _TOMBSTONE_SECONDS}
        self._gone[uid] = now
        known = self._objects.get(place)
        if known is not None and known["metadata"].get("uid") == uid:
            self._unset(place)
            self._wake_for(known)

    def begin(self) -> None:
        """Say that a full list is being read; what changes meanwhile is newer than the list."""
        self._touched = set()

    def replace(self, kind: str, listed: Iterable[Manifest], namespace: str | None) -> None:
        """Make the objects of a kind (in one namespace, or all) what a full list says they are."""
        found: set[Address] = set()
        for manifest in listed:
            place = address_of(manifest)
            found.add(place)
            if place not in self._touched:
                self.put(manifest)
                self._touched.discard(place)
        for place in list(self._objects):
            same = place[0] == kind and (namespace is None or place[1] == namespace)
            if same and place not in found and place not in self._touched:
                self.remove(self._objects[place])

    def endpoint(self, key: str) -> Manifest | None:
        """Return an endpoint by its key."""
        namespace, _, name = key.partition("/")
        return self._objects.get((KIND, namespace, name))

    def endpoints(self) -> list[str]:
        """Return the keys of all endpoints."""
        return [f"{ns}/{name}" for kind, ns, name in self._objects if kind == KIND]

    def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """Return one object."""
        return self._objects.get((kind, namespace, name))

    def children(self, key: str) -> list[Manifest]:
        """Return what carries the endpoint's label, pods left out."""
        mine = self._of_key.get(key, {})
        return [obj for place, obj in mine.items() if place[0] not in {"Pod", KIND}]

    def pods(self, key: str, component: str) -> list[Manifest]:
        """Return the pods of one component."""
        mine = self._of_key.get(key, {})
        return [
            obj
            for place, obj in mine.items()
            if place[0] == "Pod"
            and obj["metadata"]["labels"].get("app.kubernetes.io/component") == component
        ]

    def __len__(self) -> int:
        """Return how many objects are known."""
        return len(self._objects)

    def _set(self, place: Address, manifest: Manifest) -> None:
        self._unset(place)
        self._objects[place] = manifest
        key = key_of(manifest)
        if key:
            self._of_key.setdefault(key, {})[place] = manifest

    def _unset(self, place: Address) -> None:
        old = self._objects.pop(place, None)
        if old is None:
            return
        mine = self._of_key.get(key_of(old))
        if mine is not None:
            mine.pop(place, None)
            if not mine:
                del self._of_key[key_of(old)]

    def _wake_for(self, manifest: Mapping[str, Any]) -> None:
        key = key_of(manifest)
        if key:
            self._wake(key)


def _only_status(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Tell whether an endpoint changed in its status alone: that was us (docs/rules.md K19)."""
    if new["kind"] != KIND:
        return False
    before, after = old["metadata"], new["metadata"]
    watched = ("uid", "generation", "deletionTimestamp", "labels", "annotations")
    return all(before.get(name) == after.get(name) for name in watched)
