"""The lock of a submission to a unique route: equal submissions have the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UNSET

from asyncendpoints_core.jobs.records import Lock, OnConflict
from asyncendpoints_gateway.http.named_values import named_value, source_of

if TYPE_CHECKING:
    from asyncendpoints_core.jobs.records import Request
    from asyncendpoints_core.resource.routes import Route
    from asyncendpoints_gateway.http.named_values import Pointed

_ON_CONFLICT: Final = {
    "Return": OnConflict.RETURN,
    "Reject": OnConflict.REJECT,
    "Replace": OnConflict.REPLACE,
}
_LOCK_SIZE: Final = 16


@dataclass(frozen=True, slots=True)
class UniqueConfig:
    """What makes submissions to a route equal: `values` are kinds and names, such as
    ("header", "x-tenant"), `scope` is what they are compared within.
    """

    scope: str
    values: tuple[tuple[str, str], ...]
    ms: int
    until_started: bool
    on_conflict: OnConflict

    @classmethod
    def of(cls, route: Route) -> UniqueConfig | None:
        """Return the configuration of a route, None if its jobs are not unique."""
        if (given := route.unique_) is None:
            return None
        return cls(
            f"{route.path}\0{route.job}",
            tuple(map(source_of, given.of)),
            given.seconds * 1_000,
            given.until == "Started",
            _ON_CONFLICT[given.on_conflict],
        )

    def lock(self, request: Request, pointed: Pointed | None = None) -> Lock | None:
        """Return the lock of a request, None if it lacks one of the values.

        `pointed`: see named_value.
        """
        digest = hashlib.blake2b(digest_size=_LOCK_SIZE)
        values = [self.scope.encode(), *(_value(request, *each, pointed) for each in self.values)]
        for value in values:
            if value is None:
                return None
            digest.update(len(value).to_bytes(4, "big"))
            digest.update(value)
        return Lock(digest.digest(), self.ms, self.until_started)


def _value(request: Request, kind: str, name: str, pointed: Pointed | None) -> bytes | None:
    match kind:
        case "path":
            return request.path.encode("utf-8", "surrogateescape")
        case "query":
            return request.query.encode("utf-8", "surrogateescape")
        case "body":
            return request.body
    value = named_value(request, kind, name, pointed)
    return None if value is UNSET else msgspec.json.encode(value, order="sorted")
