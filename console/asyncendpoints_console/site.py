"""What all requests of a listener share: the endpoints, who may use them, the audit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from asyncendpoints_console.access import Access, Role
from asyncendpoints_console.actions import ActionRunner
from asyncendpoints_console.audit import Audit
from asyncendpoints_console.refusals import Refusal, store_unavailable
from asyncendpoints_console.target import Target
from asyncendpoints_core.common.time_source import TimeSource

ROLE: Final = web.RequestKey("role", Role)
"""The key of a request's role, once it is authenticated."""


@dataclass(frozen=True, slots=True)
class Site:
    """The parts of a listener. `scope`: run, endpoint or all; `instance` names its process."""

    targets: Callable[[], Sequence[Target]]
    access: Access
    audit: Audit
    actions: ActionRunner
    scope: str
    instance: str
    read_only: bool
    time: TimeSource

    def target(self, request: web.Request) -> Target:
        """Return the endpoint in a request's path. Raises the 404, and the 503 for a queue that
        this console cannot read.
        """
        key = f"{request.match_info['namespace']}/{request.match_info['name']}"
        for target in self.targets():
            if target.key == key:
                if target.elsewhere:
                    raise store_unavailable(target.elsewhere)
                return target
        raise Refusal("not-found", "there is no such endpoint here")

    def authenticate(self, request: web.Request) -> Role:
        """Return the role of a request. Raises the 401."""
        session = request.cookies.get(cookie_name(request))
        role = self.access.role(request.headers.get("Authorization"), session)
        request[ROLE] = role
        return role


def cookie_name(request: web.Request) -> str:
    """Return the name of the session's cookie, which browsers send to every port of a host."""
    return f"asyncendpoints-{request.host.rpartition(':')[2] if ':' in request.host else 80}"
