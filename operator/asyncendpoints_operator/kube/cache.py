"""A cache of endpoints, their child objects and pods, as plain manifests.

Endpoints and pods are kept as they are used, at each reading of a queue; child objects, of which
there are more and which only a reconciliation reads, as compressed JSON.

It is updated by watch events and the responses to the operator's own writes, and replaced by full
lists every few minutes. An expired watch loses deletion events: without the lists, the children of
an endpoint that no longer exists would be recreated forever (docs/rules.md K14).
"""

import json
import time
import zlib
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from asyncendpoints_core.resource import GROUP, KIND
from asyncendpoints_operator.desired.naming import Manifest
from asyncendpoints_operator.kube.compact import PLAIN, compact

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
    """Return an object's address in the cache."""
    meta = manifest["metadata"]
    return manifest["kind"], meta.get("namespace", ""), meta["name"]


def key_of(manifest: Mapping[str, Any]) -> str:
    """Return the key of the endpoint that an object is or belongs to, "" for other objects."""
    meta = manifest["metadata"]
    namespace = meta.get("namespace", "")
    if manifest["kind"] == KIND:
        return f"{namespace}/{meta['name']}"
    name = (meta.get("labels") or {}).get(ENDPOINT_LABEL, "")
    return f"{namespace}/{name}" if name else ""


class Cache:
    """Objects by address and by endpoint; `wake` is called with the endpoint of each change."""

    def __init__(self, wake: Wake, clock: Callable[[], float] = time.monotonic) -> None:
        self._wake = wake
        self._clock = clock
        self._objects: dict[Address, Manifest | bytes] = {}
        self._by_endpoint: dict[str, dict[Address, Manifest | bytes]] = {}
        self._deleted: dict[str, tuple[float, int]] = {}  # by UID: when, and at which version
        self._touched: dict[str, set[Address]] = {}  # since the last list of each kind began

    def put(self, manifest: Manifest) -> None:
        """Store an object, unless a newer version is known or was deleted."""
        manifest = compact(manifest)
        address = address_of(manifest)
        self._touched.setdefault(manifest["kind"], set()).add(address)
        meta = manifest["metadata"]
        known = self.get(*address)
        if version_of(manifest) <= self._deleted.get(meta.get("uid"), (0.0, -1))[1]:
            return
        if known is not None and known["metadata"].get("uid") == meta.get("uid"):
            if version_of(known) >= version_of(manifest):
                return
        elif known is not None and version_of(known) > version_of(manifest):
            return  # an older object of the same name
        self._set(address, manifest)
        if known is None or not _only_status(known, manifest):
            self._wake_for(manifest)
        if known is not None and key_of(known) != key_of(manifest):
            self._wake_for(known)  # somebody changed its label

    def remove(self, manifest: Mapping[str, Any]) -> None:
        """Remove an object; the versions with its UID up to this one are ignored from now on.

        Not later ones: an object that loses a label of the watch's selector and gets it back is
        deleted, to the watch, and then there again.
        """
        address = address_of(manifest)
        self._touched.setdefault(manifest["kind"], set()).add(address)
        uid = manifest["metadata"].get("uid", "")
        now = self._clock()
        kept = {u: d for u, d in self._deleted.items() if now - d[0] < _TOMBSTONE_SECONDS}
        before = kept.get(uid, (now, -1))[1]
        self._deleted = {**kept, uid: (now, max(before, version_of(manifest)))}
        known = self.get(*address)
        if known is not None and known["metadata"].get("uid") == uid:
            self._unset(address)
            self._wake_for(known)

    def begin(self, kind: str) -> None:
        """Start a full list of a kind: objects that change from now on are newer than the list."""
        self._touched[kind] = set()

    def put_listed(self, manifest: Manifest) -> Address:
        """Store an object of a list, unless it changed since the list began; return its address."""
        address = address_of(manifest)
        touched = self._touched.setdefault(manifest["kind"], set())
        if address not in touched:
            self.put(manifest)
            touched.discard(address)
        return address

    def keep(self, kind: str, found: Collection[Address], namespace: str | None) -> None:
        """Remove the objects of a kind, in one namespace or all, that a full list has not found."""
        touched = self._touched.setdefault(kind, set())
        for address, kept in list(self._objects.items()):
            same = address[0] == kind and (namespace is None or address[1] == namespace)
            if same and address not in found and address not in touched:
                self.remove(_opened(kept))

    def endpoint(self, key: str) -> Manifest | None:
        """Return an endpoint by its key."""
        namespace, _, name = key.partition("/")
        return self.get(KIND, namespace, name)

    def endpoints(self) -> list[str]:
        """Return the keys of all endpoints."""
        return [f"{ns}/{name}" for kind, ns, name in self._objects if kind == KIND]

    def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """Return one object."""
        kept = self._objects.get((kind, namespace, name))
        return None if kept is None else _opened(kept)

    def children(self, key: str) -> list[Manifest]:
        """Return the objects with the endpoint's label, except pods."""
        own = self._by_endpoint.get(key, {})
        return [_opened(kept) for address, kept in own.items() if address[0] not in PLAIN]

    def pods(self, key: str, component: str) -> list[Manifest]:
        """Return the pods of one component."""
        own = self._by_endpoint.get(key, {})
        pods = [_opened(kept) for address, kept in own.items() if address[0] == "Pod"]
        label = "app.kubernetes.io/component"
        return [pod for pod in pods if pod["metadata"]["labels"].get(label) == component]

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self._objects)

    def _set(self, address: Address, manifest: Manifest) -> None:
        self._unset(address)
        kept = manifest if address[0] in PLAIN else zlib.compress(json.dumps(manifest).encode())
        self._objects[address] = kept
        if key := key_of(manifest):
            self._by_endpoint.setdefault(key, {})[address] = kept

    def _unset(self, address: Address) -> None:
        kept = self._objects.pop(address, None)
        if kept is None:
            return
        old = _opened(kept)
        own = self._by_endpoint.get(key_of(old))
        if own is not None:
            own.pop(address, None)
            if not own:
                del self._by_endpoint[key_of(old)]

    def _wake_for(self, manifest: Mapping[str, Any]) -> None:
        if key := key_of(manifest):
            self._wake(key)


def _opened(kept: Manifest | bytes) -> Manifest:
    if not isinstance(kept, bytes):
        return kept
    found: Manifest = json.loads(zlib.decompress(kept))
    return found


def _only_status(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether only the status of an endpoint changed: the operator did that (docs/rules.md K19).

    A change of the operator that serves it counts as more.
    """
    if new["kind"] != KIND:
        return False
    before, after = old["metadata"], new["metadata"]
    watched = ("uid", "generation", "deletionTimestamp", "labels", "annotations")
    operators = [(one.get("status") or {}).get("operator") for one in (old, new)]
    same = operators[0] == operators[1]
    return same and all(before.get(name) == after.get(name) for name in watched)
